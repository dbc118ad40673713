# SPDX-License-Identifier: Apache-2.0
"""The API in front of a data path in memory, asked without sockets."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import quote

from tests.unit.api.metrics.scraping import scraper
from tests.unit.datapath_plan.build import World, real

from xlvs.api.app import application
from xlvs.api.backend import Backend
from xlvs.api.caller import STATE, Caller, Scope
from xlvs.api.views import Facts
from xlvs.datapath.effective import Options
from xlvs.io.bus import Bus
from xlvs.wire.explanation import Explanation, Layer, Packet

ROOT = Caller("root (pid 1)", Scope.ROOT)
SERVICE = "/v1/services/tcp/10.0.0.1:80"
DESTINATIONS = f"{SERVICE}/destinations"


def server(n, port=80):
    return f"{DESTINATIONS}/{real(n)}:{port}"


class Answer:
    def __init__(self):
        self.status = 0
        self.headers = {}
        self.body = b""

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def tag(self):
        return self.headers["etag"]


class Daemon:
    """What the API asks of the daemon, and how often it did."""

    def __init__(self):
        self.prepared = []
        self.settled = []
        self.meanwhile = lambda: None

    async def prepare(self, edits):
        self.prepared.append(len(edits))
        self.meanwhile()

    async def settle(self, edits):
        self.settled.append(len(edits))

    async def explain(self, request):
        frame = [Layer(name="ethernet", fields={})]
        title = str(request.destination)
        packet = Packet(title=title, interface="", hook="", frame=frame, chosen=[])
        return Explanation(packet=packet, roles=["virtual"], reason="fwd_nat", verdict="send")

    async def apply(self, wanted, by):
        return [f"{len(wanted.configuration.services)} services by {by}"]


class InMemory(Daemon):
    """A director, and its API as ASGI, for whoever is ``caller``."""

    def __init__(self, caller=ROOT):
        super().__init__()
        self.world = World(options=Options(local_addresses=(real(9),)))
        self.bus = Bus(lambda: 1_000_000.0)
        self.caller = caller
        self.app = application(
            Backend(
                self.world.director,
                lambda: Facts(instance="edge", version="1.2", pid=7, started=1.5),
                prepare=self.prepare,
                settle=self.settle,
                explain=self.explain,
                plan=lambda _: ["a change"],
                apply=self.apply,
                bus=self.bus,
                refused_tokens=lambda: 3,
                scraper=scraper(self.world),
                sync_roles=lambda: self.world.director.desired.sync,
            )
        )

    async def with_caller(self, scope, receive, send):
        """As ASGI, as a server calls it."""
        if scope["type"] == "http":
            scope = {**scope, "state": {STATE: self.caller}}
        await self.app(scope, receive, send)

    def __call__(self, method, target, body=None, **headers):
        """One request. A body that is no bytes is sent as JSON."""
        answer = Answer()
        path, _, query = target.partition("?")
        content = b"" if body is None else body if isinstance(body, bytes) else _json(body)
        if body is not None:
            headers.setdefault("content_type", "application/json")
        parts = [{"type": "http.request", "body": content}, {"type": "http.disconnect"}]

        async def receive():
            return parts.pop(0) if len(parts) > 1 else parts[0]

        async def send(message):
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {k.decode(): v.decode() for k, v in message["headers"]}
            else:
                answer.body += message.get("body", b"")

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [
                (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
            ],
            "server": None,
            "client": None,
        }
        asyncio.run(self.with_caller(scope, receive, send))
        return answer


def _json(value):
    return json.dumps(value).encode()
