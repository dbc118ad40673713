# SPDX-License-Identifier: Apache-2.0
"""All that a director's API has, a method each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from xlvs.client.core import Core, UnixSocket, way_from_environment
from xlvs.client.remote import Remote
from xlvs.model.configuration import Configuration
from xlvs.model.service import Destination, DestinationKey, ServiceKey
from xlvs.wire.connections import (
    CloseRequest,
    CloseResult,
    ConnectionCount,
    ConnectionFilterText,
    ConnectionPage,
    CountQuery,
    PageQuery,
)
from xlvs.wire.endpoint import destination_name, service_name
from xlvs.wire.events import Event
from xlvs.wire.explanation import ExplainRequest, Explanation
from xlvs.wire.messages import (
    ConnectionView,
    DrainList,
    LocalPools,
    LocalPortList,
    ServiceView,
    SettingList,
    Status,
    Timeouts,
)
from xlvs.wire.planning import ApplyRequest, Plan, PlanRequest
from xlvs.wire.resources import (
    ClientLists,
    ClientPrefixes,
    ConfiguredService,
    DrainRequest,
    Health,
    MarkRules,
    RunningConfiguration,
    Sync,
    Totals,
    Vrrp,
)

__all__ = ["Client", "Tagged", "UnixSocket", "Written", "connect", "from_environment"]

EVERYTHING = ConnectionFilterText()

_UNCHANGED = 204
_DATA = b"data: "

T = TypeVar("T")


class Tagged(NamedTuple, Generic[T]):
    """What was read, and the token that says so: ``unless_changed`` of a write."""

    value: T
    tag: str


class Written(NamedTuple):
    """``changed``: False if it was so already. ``tag``: as of Tagged, "" of what is gone."""

    changed: bool
    tag: str


class Client(Core):
    """A director of this machine, by its instance's name; of another machine: ``connect``.

    Every method raises Problem if it fails: a refusal with its code and its place in what
    was sent; OUTDATED if ``unless_changed`` is a token and somebody has written meanwhile;
    INTERNAL if there is no answer.
    """

    # ---- what is configured

    def service(self, key: ServiceKey) -> Tagged[ConfiguredService]:
        """A service with its real servers, as they are asked for."""
        return self._tagged(_service(key), ConfiguredService)

    def put_service(self, wanted: ConfiguredService, unless_changed: str = "") -> Written:
        """Make a service so; its real servers too, unless ``destinations`` is None."""
        return self._put(_service(wanted.key), wanted, unless_changed)

    def delete_service(self, key: ServiceKey, unless_changed: str = "") -> None:
        """Remove a service."""
        self.ask("DELETE", _service(key), head=_condition(unless_changed))

    def destination(self, service: ServiceKey, key: DestinationKey) -> Tagged[Destination]:
        """A real server, as it is asked for."""
        return self._tagged(_destination(service, key), Destination)

    def put_destination(
        self, service: ServiceKey, wanted: Destination, unless_changed: str = ""
    ) -> Written:
        """Make a real server of a service so."""
        return self._put(_destination(service, wanted.key), wanted, unless_changed)

    def delete_destination(
        self, service: ServiceKey, key: DestinationKey, unless_changed: str = ""
    ) -> None:
        """Remove a real server."""
        self.ask("DELETE", _destination(service, key), head=_condition(unless_changed))

    def drain(self, service: ServiceKey, key: DestinationKey, seconds: int | None = None) -> None:
        """Let a real server get no new clients; it is removed after that many seconds.

        0: nobody removes it; None: ``net.xlvs.drain_seconds``.
        """
        body = DrainRequest(seconds=seconds)
        self.ask("PUT", _destination(service, key) + "/drain", body)

    def undrain(self, service: ServiceKey, key: DestinationKey) -> None:
        """Give a real server back the weight that it had before its drain."""
        self.ask("DELETE", _destination(service, key) + "/drain")

    def configuration(self) -> Tagged[RunningConfiguration]:
        """All that is asked for."""
        return self._tagged("/v1/configuration", RunningConfiguration)

    def put_configuration(self, wanted: RunningConfiguration, unless_changed: str = "") -> Written:
        """Make the director so; what is not named goes. All or nothing."""
        return self._put("/v1/configuration", wanted, unless_changed)

    def put_timeouts(self, wanted: Timeouts, unless_changed: str = "") -> Written:
        """Set the time-outs, in seconds."""
        return self._put("/v1/timeouts", wanted, unless_changed)

    def marks(self) -> MarkRules:
        """Mark rules in their order."""
        return self.get("/v1/marks", MarkRules)

    def put_marks(self, wanted: MarkRules, unless_changed: str = "") -> Written:
        """Replace all mark rules."""
        return self._put("/v1/marks", wanted, unless_changed)

    def put_pools(self, wanted: LocalPools, unless_changed: str = "") -> Written:
        """Replace all pools."""
        return self._put("/v1/pools", wanted, unless_changed)

    def lists(self) -> ClientLists:
        """Lists of clients and how many prefixes they have."""
        return self.get("/v1/lists", ClientLists)

    def client_list(self, name: str) -> Tagged[ClientPrefixes]:
        """The prefixes of a list of clients."""
        return self._tagged(f"/v1/lists/{quote(name, safe='')}", ClientPrefixes)

    def put_list(self, name: str, prefixes: Iterable[str], unless_changed: str = "") -> Written:
        """Replace a list of clients, or make it."""
        wanted = ClientPrefixes(prefixes=tuple(prefixes))
        return self._put(f"/v1/lists/{quote(name, safe='')}", wanted, unless_changed)

    def delete_list(self, name: str, unless_changed: str = "") -> None:
        """Remove a list of clients that no service names."""
        path = f"/v1/lists/{quote(name, safe='')}"
        self.ask("DELETE", path, head=_condition(unless_changed))

    def settings(self) -> SettingList:
        """Every setting."""
        return self.get("/v1/settings", SettingList)

    def change_settings(
        self, changes: Mapping[str, str | None], unless_changed: str = ""
    ) -> Written:
        """Change settings by their full names; None gives up what was asked for."""
        return self._put("/v1/settings", changes, unless_changed, "PATCH")

    # ---- what a configuration file says

    def plan(self, wanted: Configuration) -> list[str]:
        """What a reload with this configuration would change, in words."""
        request = PlanRequest(configuration=wanted)
        return self.decode(self.ask("POST", "/v1/plan", request)[1], Plan).changes

    def apply(self, wanted: Configuration, *, services_only: bool = False) -> list[str]:
        """Make this configuration so, as root by the Unix socket; what has changed, in words."""
        request = ApplyRequest(configuration=wanted, services_only=services_only)
        return self.decode(self.ask("POST", "/v1/apply", request)[1], Plan).changes

    # ---- what there is

    def counters(self) -> Totals:
        """Totals and rates of all services together, and packets by what became of them."""
        return self.get("/v1/counters", Totals)

    def service_counters(self, key: ServiceKey) -> ServiceView:
        """One service with its counters."""
        return self.get(_service(key) + "/counters", ServiceView)

    def zero(self, key: ServiceKey | None = None) -> None:
        """Let the counters of a service, None: of all, begin at zero again."""
        self.ask("DELETE", "/v1/counters" if key is None else _service(key) + "/counters")

    def drains(self) -> DrainList:
        """Real servers that are being drained."""
        return self.get("/v1/drains", DrainList)

    def local_ports(self) -> LocalPortList:
        """FULLNAT's local ports, used and free, the fullest first."""
        return self.get("/v1/local-ports", LocalPortList)

    def health(self) -> Health:
        """Real servers' checks and services' quorums; none without a configuration file."""
        return self.get("/v1/health", Health)

    def vrrp(self) -> Vrrp:
        """VRRP instances and their states; none without a configuration file."""
        return self.get("/v1/vrrp", Vrrp)

    def sync(self) -> Sync:
        """Connection sync and its peers."""
        return self.get("/v1/sync", Sync)

    def status(self) -> Status:
        """Everything at once."""
        return self.get("/v1/status", Status)

    def explain(self, request: ExplainRequest) -> Explanation:
        """What would happen to a packet; nothing is changed."""
        return self.decode(self.ask("POST", "/v1/explain", request)[1], Explanation)

    # ---- connections

    def connections(self, wanted: ConnectionFilterText = EVERYTHING) -> Iterator[ConnectionView]:
        """The connection table, or what is wanted of it, as it streams in."""
        return self.lines(_target("/v1/connections", wanted), ConnectionView)

    def connection_blocks(self, wanted: ConnectionFilterText = EVERYTHING) -> Iterator[bytes]:
        """The same as NDJSON, many lines at a time."""
        return self.blocks(_target("/v1/connections", wanted))

    def connection_page(self, query: PageQuery) -> ConnectionPage:
        """One page of the connection table; ``query.limit`` says how long."""
        return self.get(_target("/v1/connections/page", query), ConnectionPage)

    def count_connections(self, query: CountQuery) -> ConnectionCount:
        """How many connections, and who has most of them."""
        return self.get(_target("/v1/connections/count", query), ConnectionCount)

    def close_connections(self, request: CloseRequest) -> CloseResult:
        """End connections."""
        return self.decode(self.ask("POST", "/v1/connections/close", request)[1], CloseResult)

    # ---- what happens

    def events(self, after: int | None = None) -> Iterator[Event]:
        """What happens, as it happens, until the daemon ends; ``after``: since that event.

        An event of the kind GAP says that some were lost.
        """
        target = "/v1/events" if after is None else f"/v1/events?after={after}"
        for block in self.blocks(target):
            for line in block.splitlines():
                if line.startswith(_DATA):
                    yield self.decode(line.removeprefix(_DATA), Event)

    def _tagged(self, target: str, kind: type[T]) -> Tagged[T]:
        answer, content = self.ask("GET", target)
        return Tagged(self.decode(content, kind), answer.tag)

    def _put(self, target: str, body: object, tag: str, method: str = "PUT") -> Written:
        answer, _ = self.ask(method, target, body, _condition(tag))
        return Written(answer.status != _UNCHANGED, answer.tag)


def connect(url: str, *, token: str, authority: str = "") -> Client:
    """A director by its URL, https://HOST:PORT.

    ``authority``: a PEM file with the certificates that vouch for the director's, "": the
    system's. Nothing is sent yet. Raises Problem if the URL or the file cannot be used.
    """
    return Client(Remote(url, token, authority))


def from_environment() -> Client:
    """The director that $XLVS_URL, else $XLVS_INSTANCE names. Raises Problem."""
    return Client(way_from_environment())


def _service(key: ServiceKey) -> str:
    return f"/v1/services/{service_name(key)}"


def _destination(service: ServiceKey, key: DestinationKey) -> str:
    return f"{_service(service)}/destinations/{destination_name(key)}"


def _target(path: str, query: msgspec.Struct) -> str:
    """A path with the query's fields that are no defaults."""
    words = msgspec.to_builtins(query)
    return f"{path}?{urlencode(words)}" if words else path


def _condition(tag: str) -> dict[str, str]:
    return {"If-Match": tag} if tag else {}
