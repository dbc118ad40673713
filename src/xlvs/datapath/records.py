# SPDX-License-Identifier: Apache-2.0
"""What the maps hold, as typed values: Python's names for the structs of bpf/abi.h.

``layout.Layout`` compares each record with the BTF of the object that is loaded
and packs it; a field that C does not know, or knows otherwise, is an error that
names it. Addresses are 16 bytes (IPv4 as ::ffff:a.b.c.d), those that C has in four
bytes and ports plain numbers, ``pad`` fields are left out: they are always zero.
Times are ticks, see abi.h.
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
NO_DESTINATION = 0xFFFFFFFF
SLOT_PAGE = 65536
CHAIN = 32
REGION_LINES = 64
WAYS4 = 2
WAYS6 = 1
CONNECTION_STATE = 0x1F
CONNECTION_PROTOCOL_SHIFT = 5
CONNECTION_METHOD_SHIFT = 16
CONNECTION_GENERATION_SHIFT = 20
ADDRESS_SLOTS = 65536
CALL_ID_MAX = 255
SYNCED_BATCH = 256
CLOSING_BATCH = 1024
SYN_COOKIE_EPOCH = 1024
SYN_SAYS_SCALE_SHIFT = 16
MARK_SET_BITS = 32
MARK_PROTOCOL_BITS = 48
MARK_PORT_CLASSES = 256
ADMISSION_LISTS = 8
CLIENT_SET_BITS = 64


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
    MH = 5
    SED = 6
    NQ = 7
    FO = 8
    OVF = 9
    SH = 10
    DH = 11
    LBLC = 12
    LBLCR = 13
    TWOS = 14


class Transport(IntEnum):
    """enum xlvs_protocol: the protocols that have connections; a template's has TEMPLATE added."""

    TCP = 0
    UDP = 1
    SCTP = 2
    IP = 3
    TEMPLATE = 4


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
    SCTP_INIT1 = 12
    SCTP_INIT = 13
    SCTP_COOKIE_SENT = 14
    SCTP_COOKIE_REPLIED = 15
    SCTP_COOKIE_WAIT = 16
    SCTP_COOKIE = 17
    SCTP_COOKIE_ECHOED = 18
    SCTP_ESTABLISHED = 19
    SCTP_SHUTDOWN_SENT = 20
    SCTP_SHUTDOWN_RECEIVED = 21
    SCTP_SHUTDOWN_ACK_SENT = 22
    SCTP_REJECTED = 23
    SCTP_CLOSED = 24
    ABANDONED = 25
    RESET = 26
    RESET_CLIENT = 27
    RESET_SERVER = 28


class Tunnel(IntEnum):
    """enum xlvs_tunnel."""

    IPIP = 0
    GUE = 1
    GRE = 2


class TunnelFlag(IntFlag):
    """enum xlvs_tunnel_flags."""

    CHECKSUM = 1
    REMOTE_CHECKSUM = 2


class ServiceFlag(IntFlag):
    """enum xlvs_service_flags."""

    USED = 1
    ONE_PACKET = 2
    PERSISTENT = 4
    STATELESS = 8
    HASH_FALLBACK = 16
    HASH_PORT = 32
    SIP = 64
    OWN_TIMEOUTS = 128
    STANDBY = 256
    TOA = 512
    SYN_PROXY = 1 << 11
    SYN_COOKIES = 1 << 12
    PROXY_V1 = 1 << 16
    PROXY_V2 = 1 << 17
    PROXY_MARK = 1 << 18
    PROXY_ID = 1 << 19
    ADMISSION = 1 << 24
    ADMISSION_OTHER = 1 << 25


class DestinationFlag(IntFlag):
    """enum xlvs_destination_flags."""

    AVAILABLE = 1
    LOCAL = 4
    RESOLVED = 8
    CLIENT_PORT = 16
    FTP = 32
    COUNTED = 64


class ConnectionFlag(IntFlag):
    """enum xlvs_connection_flags, bits of ``Entry.word`` above state and protocol."""

    LIVE = 1 << 8
    CLAIMED = 1 << 9
    INACTIVE = 1 << 10
    NO_OUTPUT = 1 << 11
    CONTROLLED = 1 << 12
    HALF_OPEN = 1 << 13
    ON_DIRECTOR = 1 << 14
    ANSWER = 1 << 15
    SHADOWED = 1 << 18
    SPECIAL = 1 << 19


class AddressRole(IntFlag):
    """enum xlvs_address_role: what an address may be to a packet."""

    VIRTUAL = 1
    LOCAL = 2
    SERVER = 4
    STATELESS = 8


class MarkMatters(IntFlag):
    """enum xlvs_mark_matters: what else matters to a class of mark_to."""

    SOURCE = 1 << 30
    PORTS = 1 << 29


class SyncedFlag(IntFlag):
    """enum xlvs_synced_flags."""

    TEMPLATE = 1
    MARK = 2
    ASSURED = 4
    NO_OUTPUT = 8
    STREAM = 16


class SyncedResult(IntEnum):
    """enum xlvs_synced_result."""

    OPENED = 0
    UPDATED = 1
    FULL = 2
    CONTENDED = 3
    PORT = 4
    UNKNOWN = 5
    OLDER = 6


class ClosingResult(IntEnum):
    """enum xlvs_closing_result."""

    GONE = 0
    ENDED = 1
    RESET = 2
    CONTENDED = 3


class Counts(IntFlag):
    """enum xlvs_counts: where a connection is counted for a limit."""

    CLIENT = 1
    SERVICE = 2


class SynOffer(IntFlag):
    """enum xlvs_syn_offers: what clients are promised."""

    STAMPS = 1
    SACK = 2
    SCALE = 4


class SynSays(IntFlag):
    """enum xlvs_syn_says: what a server said to SYNs that were made for clients."""

    SCALE = 1 << 20
    NO_STAMPS = 1 << 24
    NO_SACK = 1 << 25
    NO_SCALE = 1 << 26


class StreamSyn(IntFlag):
    """enum xlvs_stream_syn: what SYN proxy knows of a stream."""

    SYN_PROXY = 1 << 16
    ANSWERED = 1 << 17
    AGAIN = 1 << 18
    STAMPS = 1 << 19
    SACK = 1 << 20
    SCALE = 1 << 21
    SERVER_STAMPS = 1 << 22
    SERVER_SCALE = 1 << 23


class StreamFlag(IntFlag):
    """enum xlvs_stream_flags: how far a stream is. Beside them are a ``ServiceFlag``'s."""

    FAR = 1 << 29
    HEADED = 1 << 30
    MET = 1 << 31


ENUMS: dict[str, tuple[str, type[IntEnum | IntFlag]]] = {
    "xlvs_method": ("XLVS_METHOD_", Method),
    "xlvs_scheduler": ("XLVS_SCHED_", Scheduler),
    "xlvs_protocol": ("XLVS_PROTOCOL_", Transport),
    "xlvs_state": ("XLVS_STATE_", State),
    "xlvs_tunnel": ("XLVS_TUNNEL_", Tunnel),
    "xlvs_tunnel_flags": ("XLVS_TUNNEL_", TunnelFlag),
    "xlvs_service_flags": ("XLVS_SERVICE_", ServiceFlag),
    "xlvs_destination_flags": ("XLVS_DESTINATION_", DestinationFlag),
    "xlvs_connection_flags": ("XLVS_CONNECTION_", ConnectionFlag),
    "xlvs_address_role": ("XLVS_ADDRESS_", AddressRole),
    "xlvs_mark_matters": ("XLVS_MARK_", MarkMatters),
    "xlvs_synced_flags": ("XLVS_SYNCED_", SyncedFlag),
    "xlvs_synced_result": ("XLVS_SYNCED_", SyncedResult),
    "xlvs_closing_result": ("XLVS_CLOSING_", ClosingResult),
    "xlvs_counts": ("XLVS_COUNTS_", Counts),
    "xlvs_syn_offers": ("XLVS_SYN_", SynOffer),
    "xlvs_stream_flags": ("XLVS_STREAM_", StreamFlag),
    "xlvs_syn_says": ("XLVS_SYN_SAYS_", SynSays),
    "xlvs_stream_syn": ("XLVS_STREAM_", StreamSyn),
}
"""C enum -> prefix of its enumerators, Python's enum. Reasons are only in BTF: layout.reasons."""


class ServiceKey4(NamedTuple):
    """Key of services_by_key4: what a client of IPv4 addresses."""

    address: int = 0
    port: int = 0
    protocol: int = 0


class ServiceKey(NamedTuple):
    """Key of services_by_key, and within Service of any: what a client addresses."""

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
    hash_base: int = 0
    hash_size: int = 0


class HashSlot(NamedTuple):
    """Value of hash_slots: whose a slot is, whose it was, and since when it is not."""

    destination: int = 0
    previous: int = 0
    changed_at: int = 0


class Service(NamedTuple):
    """Value of services, by service id."""

    flags: int = 0
    scheduler: int = 0
    persistence: int = 0
    key: ServiceKey = ServiceKey()
    mask: bytes = NO_ADDRESS
    timeout_tcp: int = 0
    timeout_tcp_fin: int = 0
    timeout_udp: int = 0
    syn_mss: int = 0
    syn_offers: int = 0
    syn_scale: int = 0


class Schedule(NamedTuple):
    """Value of schedules: generation, cursor and current weight in one word, two lists."""

    word: int = 0
    list: tuple[ServerList, ServerList] = (ServerList(), ServerList())
    portless_until: int = 0


class Commit(NamedTuple):
    """Input of the commit program."""

    service: int = 0
    scheduler: int = 0
    reset: int = 0
    generation: int = 0
    list: ServerList = ServerList()
    remap_base: int = 0
    remap_count: int = 0


class LocalityServer(NamedTuple):
    """A server as lblc and lblcr remember it; ``check``: of its address and port."""

    destination: int = 0
    check: int = 0


class LocalityKey(NamedTuple):
    """Key of localities: a virtual address of a service."""

    address: bytes = NO_ADDRESS
    service: int = 0


class Locality(NamedTuple):
    """Value of localities: what is remembered of a virtual address."""

    epoch: int = 0
    used_at: int = 0
    changed_at: int = 0
    count: int = 0  # type: ignore[assignment]  # as in ServerList
    first: LocalityServer = LocalityServer()


class LocalityMoreKey(NamedTuple):
    """Key of locality_more: one of the further servers of a set."""

    of: LocalityKey = LocalityKey()
    index: int = 0  # type: ignore[assignment]  # as count


class LocalityTable(NamedTuple):
    """Value of locality_tables, by service id."""

    lock: int = 0
    epoch: int = 0
    entries: int = 0
    round: int = 0
    surplus: int = 0


class LocalityRounds(NamedTuple):
    """The one value of locality_rounds: when the sweep looks at localities."""

    used: int = 0
    due: int = 0
    number: int = 0
    ended: int = 0


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
    port_row: int = 0
    port: int = 0
    method: int = 0
    family: int = 0
    route_ifindex: int = 0
    upper_threshold: int = 0
    lower_threshold: int = 0
    overload_epoch: int = 0
    tunnel_port: int = 0
    tunnel_type: int = 0
    tunnel_flags: int = 0


class DestinationLoad(NamedTuple):
    """Value of destination_load: ActiveConn, InActConn, the learnt path MTU, the overload."""

    active: int = 0
    inactive: int = 0
    path_mtu: int = 0
    path_mtu_until: int = 0
    overloaded: int = 0
    persistent: int = 0
    portless_until: int = 0
    syn_says: int = 0
    syn_refused_at: int = 0


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


class PortBlock(NamedTuple):
    """Value of port_blocks: whose ports a block of FULLNAT's local ports has.

    ``port`` 0: of all ports of the server, because its clients say which; ``protocol`` 0: a
    mark's.
    """

    local: bytes = NO_ADDRESS
    server: bytes = NO_ADDRESS
    port: int = 0
    protocol: int = 0


class LocalPorts(NamedTuple):
    """Value of local_ports: the ports of one local address towards one real server."""

    used: int = 0
    cursor: int = 0
    exhausted: int = 0
    full: tuple[int, ...] = (0,) * LOCAL_PORT_SUMMARY
    taken: tuple[int, ...] = (0,) * LOCAL_PORT_WORDS


class Entry(NamedTuple):
    """What a place of the connection table says besides whose it is."""

    word: int = 0
    expires: int = 0
    destination: int = 0
    block: int = 0
    local_port: int = 0


class Entry4(NamedTuple):
    """A place for an IPv4 connection; ``src`` and ``dst`` of the client's packets."""

    entry: Entry = Entry()
    src: int = 0
    dst: int = 0
    sport: int = 0
    dport: int = 0


class Line4(NamedTuple):
    """Value of connections4."""

    lock: int = 0
    passed: int = 0
    way: tuple[Entry4, ...] = (Entry4(),) * WAYS4


class Entry6(NamedTuple):
    """A place for an IPv6 connection."""

    entry: Entry = Entry()
    src: bytes = NO_ADDRESS
    dst: bytes = NO_ADDRESS
    sport: int = 0
    dport: int = 0


class Line6(NamedTuple):
    """Value of connections6."""

    lock: int = 0
    passed: int = 0
    way: tuple[Entry6, ...] = (Entry6(),) * WAYS6


class Tenant(NamedTuple):
    """A place and its tenant: key of templates, controlled and call_ids."""

    at: int = 0
    generation: int = 0


class Template(NamedTuple):
    """Value of templates: what a template says besides its entry of the table."""

    controlled: int = 0
    timeout: int = 0
    assured: int = 0
    call_id: int = 0


class Tuple(NamedTuple):
    """Addresses and ports of a packet."""

    src: bytes = NO_ADDRESS
    dst: bytes = NO_ADDRESS
    sport: int = 0
    dport: int = 0
    protocol: int = 0


class Stream(NamedTuple):
    """Value of streams: what a TCP connection says besides, whose segments are changed."""

    client_isn: int = 0
    flags: int = 0
    toa: int = 0
    next_isn: int = 0
    begun: int = 0
    header: int = 0
    syn: int = 0
    cookie: int = 0
    delta: int = 0
    stamp: int = 0
    promised_stamp: int = 0
    stamp_delta: int = 0
    again: int = 0
    mss: int = 0
    window: int = 0
    client_scale: int = 0
    promised_scale: int = 0
    server_scale: int = 0


class SynCookies(NamedTuple):
    """In the settings: secrets of SYN cookies, and which time slot it is."""

    offset: int = 0
    key: tuple[int, ...] = (0, 0, 0, 0, 0, 0, 0, 0)
    slot_ticks: int = 0
    others: int = 0


class SynPending(NamedTuple):
    """Value of syn_pending: a server that has not answered its SYN yet."""

    since: int = 0
    destination: int = 0
    toa_kind: int = 0
    client_port: int = 0
    client: bytes = NO_ADDRESS
    to: Tuple = Tuple()


class CallId(NamedTuple):
    """Value of call_ids: the Call-ID of a template."""

    length: int = 0
    text: bytes = bytes(CALL_ID_MAX)


class Geometry(NamedTuple):
    """The one value of geometry: what is fixed when the maps are made."""

    secret: tuple[int, ...] = (0, 0)
    lines4: int = 0
    lines6: int = 0
    hz: int = 0
    half_open_max: int = 0
    connections: int = 0


class TableCounts(NamedTuple):
    """The one value of table_counts, per CPU; sums are exact."""

    created: int = 0
    ended: int = 0
    half_opened: int = 0
    half_closed: int = 0
    evicted: int = 0
    full: int = 0
    told: int = 0
    untold: int = 0


class Table(NamedTuple):
    """The one value of table: what the sweep saw."""

    used: int = 0
    half_open: int = 0
    high_water: int = 0
    sweep_at: int = 0
    sweeps: int = 0
    rounds: int = 0


class Now(NamedTuple):
    """Output of the program xlvs_now."""

    ticks: int = 0


class FragmentKey(NamedTuple):
    """Key of fragments: what all fragments of a packet share."""

    src: bytes = NO_ADDRESS
    dst: bytes = NO_ADDRESS
    id: int = 0
    family: int = 0
    protocol: int = 0


class Fragment(NamedTuple):
    """Value of fragments: what the first one of a packet was found to be."""

    until: int = 0
    word: int = 0
    destination: int = 0
    extra: int = 0
    sport: int = 0
    dport: int = 0
    protocol: int = 0
    alone: int = 0


class NextHopRow(NamedTuple):
    """Value of next_hops: a way to clients."""

    state: int = 0
    next_hop: NextHop = NextHop()


class Settings(NamedTuple):
    """The one value of settings; ``timeout`` by state."""

    services: int = 0
    local_destinations: int = 0
    conn_reuse_mode: int = 0
    expire_nodest_conn: int = 0
    sloppy_tcp: int = 0
    pmtu_disc: int = 0
    nat_icmp_send: int = 0
    sloppy_sctp: int = 0
    schedule_icmp: int = 0
    cache_bypass: int = 0
    expire_quiescent_template: int = 0
    snat_reroute: int = 0
    secure_tcp: int = 0
    drop_rate: int = 0
    drop_entry: int = 0
    lblc_expiration: int = 0
    lblcr_expiration: int = 0
    zero_ports: int = 0
    ftp_services: int = 0
    sip_services: int = 0
    marks: int = 0
    mark_set: int = 0
    mark_rules: int = 0
    reset: int = 0
    reschedule: int = 0
    answer_rate: int = 0
    spread4: int = 0
    spread6: int = 0
    local_clients: int = 0
    sync: int = 0
    toa_kind: int = 0
    syn_proxies: int = 0
    spread_source4: bytes = NO_ADDRESS
    spread_source6: bytes = NO_ADDRESS
    timeout: tuple[int, ...] = (0,) * len(State)
    syn_cookies: SynCookies = SynCookies()


class MarkAddress(NamedTuple):
    """Key of mark_to and mark_from."""

    prefixlen: int = 0
    set: int = 0
    address: bytes = NO_ADDRESS


class MarkPort(NamedTuple):
    """Key of mark_ports."""

    prefixlen: int = 0
    set: int = 0
    protocol: int = 0
    port: int = 0


class MarkClasses(NamedTuple):
    """Key of mark_classes."""

    set: int = 0
    to: int = 0
    source: int = 0
    ports: int = 0


class Mark(NamedTuple):
    """Value of mark_classes: the new mark is ``(mark & keep) ^ value``."""

    keep: int = 0
    value: int = 0


class Admission(NamedTuple):
    """Value of admissions: whose new connections a service takes, and how many; see abi.h.

    ``list``: numbers of sets of prefixes, ``denies`` that deny and then ``allows`` that allow.
    ``client``: the mask of what counts as one client.
    """

    list: tuple[int, ...] = (0,) * ADMISSION_LISTS
    denies: int = 0
    allows: int = 0
    client: bytes = NO_ADDRESS
    client_connections: int = 0
    client_rate: int = 0
    client_burst: int = 0
    service_connections: int = 0
    service_rate: int = 0
    service_burst: int = 0


class ClientPrefix(NamedTuple):
    """Key of client_prefixes; ``set``: the two halves of its number, the lower one first."""

    prefixlen: int = 0
    set: tuple[int, ...] = (0, 0)
    address: bytes = NO_ADDRESS


class Client(NamedTuple):
    """Key of clients and client_rates: a client as its service's limits count it."""

    service: int = 0
    address: bytes = NO_ADDRESS


class Admitted(NamedTuple):
    """Value of admitted, by service id."""

    bucket: int = 0
    connections: int = 0


class Refusals(NamedTuple):
    """New connections that a service refused."""

    denied: int = 0
    not_allowed: int = 0
    client_connections: int = 0
    client_rate: int = 0
    service_connections: int = 0
    service_rate: int = 0


class SynLoad(NamedTuple):
    """A service with SYN proxy: who asked, who was there, who was refused."""

    syns: int = 0
    proved: int = 0
    answered: int = 0
    unknown: int = 0
    expired: int = 0
    odd: int = 0


class Arrivals(NamedTuple):
    """Value of arrivals, by service id and per CPU: who asks it for connections."""

    refused: Refusals = Refusals()
    syn: SynLoad = SynLoad()


class Counted(NamedTuple):
    """Value of counted: what a connection was counted as."""

    client: Client = Client()
    counts: int = 0


class Addresses(NamedTuple):
    """The one value of addresses: roles by ``addresses.slot``."""

    roles: bytes = bytes(ADDRESS_SLOTS)


class Interface(NamedTuple):
    """Value of interfaces, by ifindex."""

    address4: bytes = NO_ADDRESS
    address6: bytes = NO_ADDRESS
    carrier: int = 0
    vlan: int = 0
    mtu: int = 0
    mac: bytes = NO_MAC


class Synced(NamedTuple):
    """Value of synced: another director's connection."""

    src: bytes = NO_ADDRESS
    dst: bytes = NO_ADDRESS
    sport: int = 0
    dport: int = 0
    protocol: int = 0
    family: int = 0
    destination: int = 0
    state: int = 0
    flags: int = 0
    left: int = 0
    idle: int = 0
    template_timeout: int = 0
    block: int = 0
    local_port: int = 0
    stream: Stream = Stream()
    result: int = 0


class Closing(NamedTuple):
    """Value of closings: a connection to end."""

    tenant: Tenant = Tenant()
    reset: int = 0
    result: int = 0


class Batch(NamedTuple):
    """The one value of sync_batch, and of closing_batch."""

    entries: int = 0
    begun: int = 0
    done: int = 0


class Event(NamedTuple):
    """A record of the ring buffer events."""

    kind: int = 0
    ifindex: int = 0
    address: bytes = NO_ADDRESS


STRUCTS: dict[type[NamedTuple], str] = {
    ServiceKey4: "xlvs_service_key4",
    ServiceKey: "xlvs_service_key",
    ServerList: "xlvs_server_list",
    HashSlot: "xlvs_hash_slot",
    Service: "xlvs_service",
    Schedule: "xlvs_schedule",
    Commit: "xlvs_commit",
    LocalityServer: "xlvs_locality_server",
    LocalityKey: "xlvs_locality_key",
    Locality: "xlvs_locality",
    LocalityMoreKey: "xlvs_locality_more_key",
    LocalityTable: "xlvs_locality_table",
    LocalityRounds: "xlvs_locality_rounds",
    NextHop: "xlvs_next_hop",
    Destination: "xlvs_destination",
    DestinationLoad: "xlvs_destination_load",
    Stats: "xlvs_stats",
    ReasonStats: "xlvs_reason_stats",
    PortBlock: "xlvs_port_block",
    LocalPorts: "xlvs_local_ports",
    Entry: "xlvs_entry",
    Entry4: "xlvs_entry4",
    Line4: "xlvs_line4",
    Entry6: "xlvs_entry6",
    Line6: "xlvs_line6",
    Tenant: "xlvs_tenant",
    Template: "xlvs_template",
    CallId: "xlvs_call_id",
    Tuple: "xlvs_tuple",
    Stream: "xlvs_stream",
    SynCookies: "xlvs_syn_cookies",
    SynPending: "xlvs_syn_pending",
    Geometry: "xlvs_geometry",
    TableCounts: "xlvs_table_counts",
    Table: "xlvs_table",
    Now: "xlvs_now",
    FragmentKey: "xlvs_fragment_key",
    Fragment: "xlvs_fragment",
    NextHopRow: "xlvs_next_hop_row",
    Settings: "xlvs_settings",
    MarkAddress: "xlvs_mark_address",
    MarkPort: "xlvs_mark_port",
    MarkClasses: "xlvs_mark_classes",
    Mark: "xlvs_mark",
    Admission: "xlvs_admission",
    ClientPrefix: "xlvs_client_prefix",
    Client: "xlvs_client",
    Admitted: "xlvs_admitted",
    Refusals: "xlvs_refusals",
    SynLoad: "xlvs_syn_load",
    Arrivals: "xlvs_arrivals",
    Counted: "xlvs_counted",
    Addresses: "xlvs_addresses",
    Interface: "xlvs_interface",
    Event: "xlvs_event",
    Synced: "xlvs_synced",
    Closing: "xlvs_closing",
    Batch: "xlvs_batch",
}
"""Record -> the struct of bpf/abi.h that it stands for."""
