# SPDX-License-Identifier: Apache-2.0
"""What the maps hold, as typed values: Python's names for the structs of bpf/abi.h.

``layout.Layout`` compares each record with the BTF of the object that is loaded
and packs it; a field that C does not know, or knows otherwise, is an error that
names it. Addresses are 16 bytes (IPv4 as ::ffff:a.b.c.d), ports plain numbers,
``pad`` fields are left out: they are always zero.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import NamedTuple

NO_ADDRESS = bytes(16)
NO_MAC = bytes(6)

# Macros leave no trace in BTF; a unit test compares these with bpf/abi.h.
CURSOR_HEAD = 0xFFFF
LOCAL_PORT_FIRST = 1024
LOCAL_PORT_WORDS = 1008
LOCAL_PORT_SUMMARY = 16
CONNECTION_STATE = 0xFF
SLOT_REPLY = 0x80000000


class Method(IntEnum):
    """enum xlvs_method."""

    NAT = 0
    DR = 1
    TUN = 2
    FULLNAT = 3


class Scheduler(IntEnum):
    """enum xlvs_scheduler; NONE for schedulers that the data path does not know."""

    NONE = 0
    RR = 1
    WRR = 2
    LC = 3
    WLC = 4


class State(IntEnum):
    """enum xlvs_state: IPVS's states of a connection."""

    NONE = 0
    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECV = 3
    FIN_WAIT = 4
    TIME_WAIT = 5
    CLOSE = 6
    CLOSE_WAIT = 7
    LAST_ACK = 8
    LISTEN = 9
    SYNACK = 10
    UDP = 11


class ServiceFlag(IntFlag):
    """enum xlvs_service_flags."""

    USED = 1
    ONE_PACKET = 2
    PERSISTENT = 4


class DestinationFlag(IntFlag):
    """enum xlvs_destination_flags."""

    AVAILABLE = 1
    LOCAL = 4
    RESOLVED = 8


class ConnectionFlag(IntFlag):
    """enum xlvs_connection_flags, bits of ``Connection.word`` above the state."""

    LIVE = 1 << 8
    INACTIVE = 1 << 9
    NO_OUTPUT = 1 << 10
    REPLACED = 1 << 11


ENUMS: dict[str, tuple[str, type[IntEnum | IntFlag]]] = {
    "xlvs_method": ("XLVS_METHOD_", Method),
    "xlvs_scheduler": ("XLVS_SCHED_", Scheduler),
    "xlvs_state": ("XLVS_STATE_", State),
    "xlvs_service_flags": ("XLVS_SERVICE_", ServiceFlag),
    "xlvs_destination_flags": ("XLVS_DESTINATION_", DestinationFlag),
    "xlvs_connection_flags": ("XLVS_CONNECTION_", ConnectionFlag),
}
"""C enum -> prefix of its enumerators, Python's enum. Reasons are only in BTF: layout.reasons."""


class ServiceKey(NamedTuple):
    """Key of services_by_key: what a client addresses."""

    address: bytes = NO_ADDRESS
    fwmark: int = 0
    port: int = 0
    protocol: int = 0
    family: int = 0


class ServerList(NamedTuple):
    """One version of a service's list of destinations, a range of service_destinations."""

    base: int = 0
    count: int = 0  # type: ignore[assignment]  # C's name; nobody needs tuple.count
    gcd: int = 1
    max_weight: int = 0


class Service(NamedTuple):
    """Value of services, by service id."""

    flags: int = 0
    scheduler: int = 0
    local_base: int = 0
    local_count: int = 0
    key: ServiceKey = ServiceKey()


class Schedule(NamedTuple):
    """Value of schedules: generation, cursor and current weight in one word, two lists."""

    word: int = 0
    list: tuple[ServerList, ServerList] = (ServerList(), ServerList())


class Commit(NamedTuple):
    """Input of the commit program."""

    service: int = 0
    scheduler: int = 0
    reset: int = 0
    generation: int = 0
    list: ServerList = ServerList()
    remap_base: int = 0
    remap_count: int = 0


class NextHop(NamedTuple):
    """Where the frame goes: device, VLAN, MAC addresses; ``mtu`` in IP bytes."""

    ifindex: int = 0
    vlan: int = 0
    mtu: int = 0
    dst_mac: bytes = NO_MAC
    src_mac: bytes = NO_MAC


class Destination(NamedTuple):
    """Value of destinations, by destination id."""

    address: bytes = NO_ADDRESS
    gateway: bytes = NO_ADDRESS
    tunnel_source: bytes = NO_ADDRESS
    next_hop: NextHop = NextHop()
    flags: int = 0
    weight: int = 0
    service: int = 0
    port_block: int = 0
    port: int = 0
    method: int = 0
    family: int = 0
    route_ifindex: int = 0
    upper_threshold: int = 0
    lower_threshold: int = 0
    overload_epoch: int = 0


class DestinationLoad(NamedTuple):
    """Value of destination_load: ActiveConn, InActConn, the learnt path MTU, the overload."""

    active: int = 0
    inactive: int = 0
    path_mtu: int = 0
    path_mtu_until: int = 0
    overloaded: int = 0


class Stats(NamedTuple):
    """Value of service_stats and destination_stats, per CPU."""

    connections: int = 0
    in_packets: int = 0
    out_packets: int = 0
    in_bytes: int = 0
    out_bytes: int = 0


class ReasonStats(NamedTuple):
    """Value of reasons, per CPU."""

    packets: int = 0
    bytes: int = 0


class LocalAddress(NamedTuple):
    """Value of local_addresses: an address that FULLNAT may use as source."""

    address: bytes = NO_ADDRESS


class LocalPorts(NamedTuple):
    """Value of local_ports: the ports of one local address towards one real server."""

    used: int = 0
    cursor: int = 0
    exhausted: int = 0
    full: tuple[int, ...] = (0,) * LOCAL_PORT_SUMMARY
    taken: tuple[int, ...] = (0,) * LOCAL_PORT_WORDS


class Connection(NamedTuple):
    """Value of connections, by slot. Times in milliseconds, see abi.h."""

    word: int = 0
    generation: int = 0
    last_seen: int = 0
    timeout: int = 0
    destination: int = 0
    service: int = 0
    client_port: int = 0
    virtual_port: int = 0
    destination_port: int = 0
    local_port: int = 0
    client: bytes = NO_ADDRESS
    virtual_address: bytes = NO_ADDRESS
    server: bytes = NO_ADDRESS
    local: bytes = NO_ADDRESS
    protocol: int = 0
    method: int = 0
    family: int = 0
    server_family: int = 0
    port_block: int = 0
    on_director: int = 0


class Flow(NamedTuple):
    """Key of connection_index (struct xlvs_tuple)."""

    src: bytes = NO_ADDRESS
    dst: bytes = NO_ADDRESS
    sport: int = 0
    dport: int = 0
    protocol: int = 0


class Slot(NamedTuple):
    """Value of connection_index."""

    slot: int = 0
    generation: int = 0


class Table(NamedTuple):
    """The one value of table: how full the connection table is."""

    used: int = 0
    high_water: int = 0
    fresh: int = 0
    sweep_at: int = 0
    created: int = 0
    expired: int = 0
    full: int = 0
    sweeps: int = 0


class Settings(NamedTuple):
    """The one value of settings; ``timeout`` in milliseconds by state."""

    services: int = 0
    local_destinations: int = 0
    conn_reuse_mode: int = 0
    expire_nodest_conn: int = 0
    sloppy_tcp: int = 0
    pmtu_disc: int = 0
    nat_icmp_send: int = 0
    timeout: tuple[int, ...] = (0,) * len(State)


class Interface(NamedTuple):
    """Value of interfaces, by ifindex."""

    address4: bytes = NO_ADDRESS
    address6: bytes = NO_ADDRESS
    carrier: int = 0
    vlan: int = 0
    mtu: int = 0
    mac: bytes = NO_MAC


class Event(NamedTuple):
    """A record of the ring buffer events."""

    kind: int = 0
    ifindex: int = 0
    address: bytes = NO_ADDRESS


STRUCTS: dict[type[NamedTuple], str] = {
    ServiceKey: "xlvs_service_key",
    ServerList: "xlvs_server_list",
    Service: "xlvs_service",
    Schedule: "xlvs_schedule",
    Commit: "xlvs_commit",
    NextHop: "xlvs_next_hop",
    Destination: "xlvs_destination",
    DestinationLoad: "xlvs_destination_load",
    Stats: "xlvs_stats",
    ReasonStats: "xlvs_reason_stats",
    LocalAddress: "xlvs_local_address",
    LocalPorts: "xlvs_local_ports",
    Connection: "xlvs_connection",
    Flow: "xlvs_tuple",
    Slot: "xlvs_slot",
    Table: "xlvs_table",
    Settings: "xlvs_settings",
    Interface: "xlvs_interface",
    Event: "xlvs_event",
}
"""Record -> the struct of bpf/abi.h that it stands for."""
