# SPDX-License-Identifier: Apache-2.0
"""Short spellings of services, destinations, edits and surroundings."""

from __future__ import annotations

from ipaddress import ip_address

from tests.unit.datapath_plan.fake import FakePort

from xlvs.datapath.effective import Options
from xlvs.datapath.observed import NUD_REACHABLE, Link, Neighbour, Observed, Route
from xlvs.io.adoption import adopt
from xlvs.io.director import Director
from xlvs.io.statefile import Saved, followed
from xlvs.model.edit import (
    AddDestination,
    AddService,
    DeleteDestination,
    DrainDestination,
    EditDestination,
    UndrainDestination,
)
from xlvs.model.service import (
    Destination,
    DestinationKey,
    Method,
    Protocol,
    Service,
    ServiceKey,
)

VIP = ip_address("10.0.0.1")
LOCAL = ip_address("192.168.200.1")
KEY = ServiceKey(protocol=Protocol.TCP, address=VIP, port=80)

LINK = Link(
    ifindex=3,
    name="eth1",
    mac=bytes.fromhex("020000000201"),
    mtu=1500,
    up=True,
    addresses=(LOCAL,),
)


def real(n):
    """The address of real server n."""
    return ip_address(f"192.168.200.{10 + n}")


def observed(count=9):
    """Real servers 1..count on eth1, all answering, and the director itself."""
    neighbours = {
        (3, real(n)): Neighbour(bytes([2, 0, 0, 0, 2, 0x10 + n]), NUD_REACHABLE)
        for n in range(1, count + 1)
    }
    routes = {real(n): Route(ifindex=3, source=LOCAL) for n in range(1, count + 1)}
    routes[LOCAL] = Route(ifindex=1, source=LOCAL, local=True)
    return Observed({3: LINK}, neighbours, routes)


def add_service(scheduler="rr", key=KEY, **more):
    return AddService(service=Service(key=key, scheduler=scheduler, **more))


def destination(n, weight=1, method=Method.NAT, **more):
    address = LOCAL if n == 0 else real(n)
    return Destination(
        key=DestinationKey(address=address, port=80), method=method, weight=weight, **more
    )


def add(n, weight=1, method=Method.NAT, key=KEY, **more):
    return AddDestination(service=key, destination=destination(n, weight, method, **more))


def change(n, weight=1, method=Method.NAT, key=KEY, **more):
    return EditDestination(service=key, destination=destination(n, weight, method, **more))


def drop(n, key=KEY):
    return DeleteDestination(service=key, destination=destination(n).key)


def drain(n, seconds=None, key=KEY):
    return DrainDestination(service=key, destination=destination(n).key, seconds=seconds)


def undrain(n, key=KEY):
    return UndrainDestination(service=key, destination=destination(n).key)


NO_OPTIONS = Options()


class Store:
    """The state file in memory: what it would say after each time that it was written."""

    def __init__(self):
        self.saved: list[Saved] = []

    def save(self, saved):
        self.saved.append(saved)

    def append(self, change):
        if self.saved:
            self.saved.append(followed(self.saved[-1], [change]))
        return bool(self.saved)


class World:
    """A director over a data path in memory, and what it saved."""

    def __init__(self, port=None, options=NO_OPTIONS):
        self.port = port or FakePort()
        self.options = options
        self.store = Store()
        self.wall = 1_000_000.0  # seconds since the epoch
        self.director = self.start(running=False)

    def start(self, *, running=True, with_file=True):
        """A director that takes over what there is, as after a restart."""
        director = Director(self.port, self.options, self.store, lambda: self.wall)
        adopted = adopt(
            self.port.have(),
            lambda: self.saved[-1] if with_file and self.saved else None,
            running=running,
        )
        self.repairs = director.start(adopted, observed())
        self.director = director
        return director

    @property
    def saved(self):
        """What was saved, the last being what a new director finds."""
        return self.store.saved

    def do(self, *edits):
        return self.director.edit(edits, go_on=False)

    def servers(self, key=KEY):
        """The real servers that the service's packets are spread over, in order."""
        id_ = self.director.effective.service_ids[key]
        places = {packed: n for n, packed in enumerate([LOCAL, *map(real, range(1, 10))])}
        found = []
        for destination_id in self.port.ids(id_):
            address = ip_address(self.port.destinations[destination_id].address[12:])
            found.append(places[address])
        return found
