# SPDX-License-Identifier: Apache-2.0
"""Over real sockets: what Prometheus would ask, and what nobody may."""

from __future__ import annotations

import asyncio
import gzip
import http.client
from ipaddress import ip_address

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from tests.unit.api.metrics.scraping import scraper
from tests.unit.datapath_plan.build import World, add, add_service

from xlvs.api import server
from xlvs.api.metrics.app import application


def asked(method, path, **headers):
    """One request to a listener that serves a director's metrics."""
    world = World()
    world.do(add_service(), add(1))

    def ask(port):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer, body

    async def main():
        channel = server.listen_tcp(ip_address("127.0.0.1"), 0)
        serving = server.tcp_server(application(scraper(world)), None)
        task = asyncio.create_task(serving.serve(sockets=[channel]))
        try:
            return await asyncio.to_thread(ask, channel.getsockname()[1])
        finally:
            serving.should_exit = True
            await task

    return asyncio.run(main())


def test_plain():
    answer, body = asked("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b'xlvs_build_info{director="edge",version="1.2"} 1.0' in body


def test_as_prometheus_asks():
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    answer, body = asked("GET", "/metrics", **{"Accept": accept, "Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    names = {each.name for each in text_string_to_metric_families(gzip.decompress(body).decode())}
    assert "xlvs_destination_connections" in names


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/metrics", 405),
        ("GET", "/", 404),
        ("GET", "/v1/status", 404),
        ("POST", "/v1/edits", 404),
    ],
)
def test_nothing_else_is_answered(method, path, status):
    answer, _ = asked(method, path)
    assert answer.status == status
