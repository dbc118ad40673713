# SPDX-License-Identifier: Apache-2.0
"""Every metric that there is. Labels are bounded by the configuration; no client is in one.

``service`` is ``tcp 10.0.0.1:80``, ``fwm 7`` or ``fwm 7 inet6``; ``destination`` is
``10.2.0.11:80``; ``local``, ``peer`` and ``vrrp_instance`` come from the configuration, too.
"""

from __future__ import annotations

from typing import Final

from xlvs.api.metrics.family import Family, counter, detailed, gauge, histogram

_SERVICE = ("service",)
_SERVER = ("service", "destination")
_VRRP = ("vrrp_instance",)
_PEER = ("peer", "side")
_PORTS = ("local", "destination", "protocol")
_BACKEND = (
    "local_address",
    "local_port",
    "remote_address",
    "remote_port",
    "proto",
    "local_mark",
)

# ---- the daemon

BUILD: Final = gauge(
    "xlvs_build_info", ("version", "director"), "1; the version, and the director's name."
)
PROBLEMS: Final = gauge(
    "xlvs_problems", ("of",), "What xlvs status lists as problems, by what they are of."
)
LOOP_LAG: Final = histogram(
    "xlvs_event_loop_lag_seconds",
    (),
    "How late the daemon came to what was due; forwarding does not wait for it.",
)
REFUSED_TOKENS: Final = counter(
    "xlvs_api_refused_tokens_total",
    (),
    "Requests over TCP (--api-listen) without a token that is known.",
)
EXPIRY: Final = gauge(
    "xlvs_expiry_running", (), "1 while the sweep in the kernel ends connections, 0: it stands."
)
INTERFACE: Final = gauge(
    "xlvs_interface_attached",
    ("interface", "hook"),
    "1 if the data path runs on this interface, 0: its packets are not looked at.",
)

# ---- packets

PACKETS: Final = counter(
    "xlvs_packets_total",
    ("reason",),
    "Packets that arrived, by what became of them; xlvs explain has a sentence for each reason.",
)
BYTES: Final = counter(
    "xlvs_bytes_total", ("reason",), "IP bytes of packets that arrived, by what became of them."
)
STREAM_PACKETS: Final = counter(
    "xlvs_stream_packets_total",
    ("what",),
    "Packets by what telling real servers who the client is did to them (docs/how-to/fullnat.md).",
)

# ---- the connection table and other maps

TABLE_SIZE: Final = gauge(
    "xlvs_table_size", (), "Connections that the table is rated for (--table-size)."
)
TABLE_USED: Final = gauge("xlvs_table_connections", (), "Connections in the table.")
TABLE_HIGH: Final = gauge(
    "xlvs_table_connections_peak", (), "Most connections at once since the table was made."
)
TABLE_HALF: Final = gauge(
    "xlvs_table_half_open_connections", (), "Connections whose clients have not proved themselves."
)
TABLE_HALF_MAX: Final = gauge(
    "xlvs_table_half_open_limit", (), "Above it half-open connections make room for one another."
)
TABLE_CREATED: Final = counter("xlvs_table_created_total", (), "Connections that began.")
TABLE_ENDED: Final = counter("xlvs_table_ended_total", (), "Connections that ended.")
TABLE_EVICTED: Final = counter(
    "xlvs_table_evicted_total", (), "Half-open connections that made room for others."
)
TABLE_FULL: Final = counter(
    "xlvs_table_full_total", (), "Connections that were refused because the table was full."
)
MAP_USED: Final = gauge("xlvs_map_entries", ("map",), "Entries that are taken in a map.")
MAP_SIZE: Final = gauge("xlvs_map_size", ("map",), "Entries that a map has room for.")
PORTS_USED: Final = gauge(
    "xlvs_local_ports_used",
    _PORTS,
    "FULLNAT: ports of a local address that are taken towards a real server.",
)
PORTS_FREE: Final = gauge(
    "xlvs_local_ports_free",
    _PORTS,
    "FULLNAT: ports of a local address that are free towards a real server.",
)
PORTS_EXHAUSTED: Final = counter(
    "xlvs_local_ports_exhausted_total",
    _PORTS,
    "FULLNAT: connections that found no free port of a local address towards a real server.",
)
NEXT_HOPS: Final = gauge(
    "xlvs_next_hops",
    ("state",),
    "Addresses of real servers by whether the way to them is known.",
)

# ---- services

SERVICES: Final = gauge("xlvs_services", (), "Virtual services.")
DESTINATIONS: Final = gauge("xlvs_destinations", (), "Real servers in rotation, of all services.")
SERVICE: Final = gauge("xlvs_service_info", (*_SERVICE, "scheduler"), "1; the service's scheduler.")
SERVICE_CONNECTIONS: Final = counter(
    "xlvs_service_connections_total",
    _SERVICE,
    "Connections of a service since it was added; ipvsadm -Z does not touch it.",
)
SERVICE_PACKETS: Final = counter(
    "xlvs_service_packets_total",
    (*_SERVICE, "direction"),
    "Packets of a service: in from clients, out to them (NAT and FULLNAT).",
)
SERVICE_BYTES: Final = counter(
    "xlvs_service_bytes_total", (*_SERVICE, "direction"), "IP bytes of a service's packets."
)
SERVICE_REFUSED: Final = counter(
    "xlvs_service_refused_connections_total",
    (*_SERVICE, "reason"),
    "New connections that a service's lists and limits refused, as long as it has some.",
)
SYN_PROXY: Final = gauge(
    "xlvs_service_syn_proxy_active",
    (*_SERVICE, "mode"),
    "1 while the director answers a service's SYNs itself; by mode auto: it is under attack.",
)
SYN_ASKED: Final = counter(
    "xlvs_service_syns_total",
    _SERVICE,
    "SYN proxy: SYNs of clients that are not known to be there, whoever answered them.",
)
SYN_PROVED: Final = counter(
    "xlvs_service_syn_proved_clients_total",
    _SERVICE,
    "SYN proxy: clients that answered what they were told, by a cookie or by their server.",
)
SYN_ANSWERED: Final = counter(
    "xlvs_service_syn_cookies_total",
    _SERVICE,
    "SYN proxy: SYNs that the director answered with a cookie.",
)
SYN_REFUSED: Final = counter(
    "xlvs_service_syn_refused_total",
    (*_SERVICE, "reason"),
    "SYN proxy: packets refused: they acknowledge no cookie of ours (unknown) or one that is too "
    "old (expired), or are SYNs that no client sends (odd).",
)
SYN_SILENT: Final = counter(
    "xlvs_service_syn_servers_silent_total",
    _SERVICE,
    "SYN proxy: handshakes that a server never answered, given up.",
)
SERVICE_CURRENT: Final = gauge(
    "xlvs_service_current_connections",
    (*_SERVICE, "state"),
    "Connections of a service now: active, inactive, and persistent ones (templates).",
)
SERVICE_USABLE: Final = gauge(
    "xlvs_service_usable_destinations",
    _SERVICE,
    "Real servers in rotation with a weight above 0, a sorry server among them.",
)
SERVICE_UP: Final = gauge(
    "xlvs_service_up", _SERVICE, "1 if the service has its quorum, 0 if it lost it."
)
SERVICE_SINCE: Final = gauge(
    "xlvs_service_last_change_timestamp_seconds",
    _SERVICE,
    "When the service last gained or lost its quorum.",
)
SERVICE_SORRY: Final = gauge(
    "xlvs_service_sorry_server", _SERVICE, "1 while the sorry server takes the connections."
)

# ---- real servers

DESTINATION_CONNECTIONS: Final = detailed(
    counter(
        "xlvs_destination_connections_total",
        _SERVER,
        "Connections of a real server of a service; ipvsadm -Z does not touch it.",
    )
)
DESTINATION_PACKETS: Final = detailed(
    counter(
        "xlvs_destination_packets_total",
        (*_SERVER, "direction"),
        "Packets of a real server: in to it, out from it (NAT and FULLNAT).",
    )
)
DESTINATION_BYTES: Final = detailed(
    counter(
        "xlvs_destination_bytes_total",
        (*_SERVER, "direction"),
        "IP bytes of a real server's packets.",
    )
)
DESTINATION_CURRENT: Final = detailed(
    gauge(
        "xlvs_destination_current_connections",
        (*_SERVER, "state"),
        "Connections of a real server now: active, inactive, and persistent ones (templates).",
    )
)
DESTINATION_WEIGHT: Final = detailed(
    gauge(
        "xlvs_destination_weight", _SERVER, "The weight that connections are balanced by; 0: none."
    )
)
DESTINATION_UP: Final = detailed(
    gauge("xlvs_destination_up", _SERVER, "1 if the real server's checks pass, 0: it is down.")
)
DESTINATION_SINCE: Final = detailed(
    gauge(
        "xlvs_destination_last_change_timestamp_seconds",
        _SERVER,
        "When the real server last went up or down.",
    )
)
DESTINATION_FAILING: Final = detailed(
    gauge("xlvs_destination_failing_checks", _SERVER, "Checks of the real server that fail.")
)

# ---- node_exporter's names, for what is built upon them

NODE_CONNECTIONS: Final = counter(
    "node_ipvs_connections_total", (), "Connections of all services, as node_exporter names them."
)
NODE_IN_PACKETS: Final = counter(
    "node_ipvs_incoming_packets_total", (), "Packets from clients, as node_exporter names them."
)
NODE_OUT_PACKETS: Final = counter(
    "node_ipvs_outgoing_packets_total", (), "Packets to clients, as node_exporter names them."
)
NODE_IN_BYTES: Final = counter(
    "node_ipvs_incoming_bytes_total", (), "Bytes from clients, as node_exporter names them."
)
NODE_OUT_BYTES: Final = counter(
    "node_ipvs_outgoing_bytes_total", (), "Bytes to clients, as node_exporter names them."
)
NODE_ACTIVE: Final = detailed(
    gauge(
        "node_ipvs_backend_connections_active",
        _BACKEND,
        "Active connections of a real server, as node_exporter names them.",
    )
)
NODE_INACTIVE: Final = detailed(
    gauge(
        "node_ipvs_backend_connections_inactive",
        _BACKEND,
        "Inactive connections of a real server, as node_exporter names them.",
    )
)
NODE_WEIGHT: Final = detailed(
    gauge(
        "node_ipvs_backend_weight", _BACKEND, "Weight of a real server, as node_exporter names it."
    )
)

# ---- the configuration file and health checks

FILE_OK: Final = gauge(
    "xlvs_config_last_reload_successful",
    (),
    "1 if the configuration file was taken when it was last read, 0: it was refused.",
)
FILE_LOADED: Final = gauge(
    "xlvs_config_last_reload_success_timestamp_seconds",
    (),
    "When the configuration file was last taken.",
)
FILE_RELOADS: Final = counter(
    "xlvs_config_reloads_total", (), "Times that the configuration file was to be read again."
)
FILE_REFUSALS: Final = counter(
    "xlvs_config_refusals_total", (), "Times that the configuration file was refused."
)
CHECKS: Final = counter(
    "xlvs_checks_total",
    ("check", "result"),
    "Health checks that ended, by the file's word for them and what they found.",
)
CHECK_SECONDS: Final = histogram(
    "xlvs_check_duration_seconds", ("check",), "How long health checks took."
)
CHECKED_SERVICES: Final = gauge(
    "xlvs_checked_services", ("state",), "Virtual services by whether they have their quorum."
)
CHECKED_DESTINATIONS: Final = gauge(
    "xlvs_checked_destinations", ("state",), "Real servers by what their checks say."
)

# ---- VRRP

VRRP_STATE: Final = gauge(
    "xlvs_vrrp_state", (*_VRRP, "state"), "1 for the state that the instance is in, 0 for others."
)
VRRP_PRIORITY: Final = gauge("xlvs_vrrp_priority", _VRRP, "The priority that the instance has now.")
VRRP_SINCE: Final = gauge(
    "xlvs_vrrp_last_change_timestamp_seconds", _VRRP, "When the instance's state last changed."
)
VRRP_TRANSITIONS: Final = counter(
    "xlvs_vrrp_transitions_total",
    (*_VRRP, "change"),
    "Times that the instance became master, or was it no more.",
)
VRRP_ADVERTS: Final = counter(
    "xlvs_vrrp_adverts_total", (*_VRRP, "direction"), "Adverts that were sent and received."
)
VRRP_GIVING_UP: Final = counter(
    "xlvs_vrrp_resignations_total",
    (*_VRRP, "direction"),
    "Adverts of priority 0, with which a master gives up, sent and received.",
)
VRRP_REJECTED: Final = counter(
    "xlvs_vrrp_rejected_adverts_total",
    (*_VRRP, "reason"),
    "Adverts that counted for nothing, by what was wrong with them.",
)
VRRP_RIVALS: Final = counter(
    "xlvs_vrrp_rival_adverts_total",
    (*_VRRP, "priority"),
    "Adverts of another master while this one was master, of higher or lower priority.",
)
VRRP_CONFLICTS: Final = counter(
    "xlvs_vrrp_address_conflicts_total",
    _VRRP,
    "Times that another host used an address of which this one was master.",
)
VRRP_RESTORED: Final = counter(
    "xlvs_vrrp_restored_total",
    _VRRP,
    "Addresses and routes of a master that somebody removed and that were put back.",
)
VRRP_STRANGERS: Final = counter(
    "xlvs_vrrp_unknown_adverts_total", (), "Adverts of virtual routers that are not configured."
)
VRRP_LATE: Final = gauge(
    "xlvs_vrrp_timer_delay_peak_seconds",
    (),
    "How late the VRRP process came to its timers at worst since this was read before.",
)
VRRP_RESTARTS: Final = counter(
    "xlvs_vrrp_process_restarts_total",
    (),
    "Times that the VRRP process ended by itself and another one was started.",
)

# ---- connection sync

SYNC_OK: Final = gauge(
    "xlvs_sync_in_sync", (), "1 if this director knows the connections that its peers hold."
)
SYNC_ROLE: Final = gauge(
    "xlvs_sync_ipvs_role", ("role",), "1 for each role that this director has in IPVS's protocol."
)
SYNC_TAKEN: Final = counter(
    "xlvs_sync_taken_total", (), "Other directors' connections that were taken into the table."
)
SYNC_REFUSED: Final = counter(
    "xlvs_sync_refused_total",
    ("reason",),
    "Other directors' connections that were not taken, by why.",
)
SYNC_TOLD: Final = counter(
    "xlvs_sync_changes_total", (), "Changes of connections that the data path told of."
)
SYNC_LOST: Final = counter(
    "xlvs_sync_changes_lost_total",
    (),
    "Changes of connections that the data path had no room to tell of; peers get all then.",
)
PEER_OK: Final = gauge(
    "xlvs_sync_peer_in_sync",
    _PEER,
    "1 if that side knows the other's table: there what is ours, here what is the peer's.",
)
PEER_LAG: Final = gauge(
    "xlvs_sync_peer_lag_seconds",
    _PEER,
    "How old what that side knows of the other is; missing while it is not in sync.",
)
PEER_QUEUED: Final = gauge(
    "xlvs_sync_peer_queued", _PEER, "Connections that wait for that side to get them."
)
PEER_MOVED: Final = counter(
    "xlvs_sync_peer_connections_total",
    _PEER,
    "Connections that that side got in the present session.",
)
PEER_RESYNCS: Final = counter(
    "xlvs_sync_peer_resyncs_total", ("peer",), "Times that a peer was sent the whole table again."
)
IPVS_MESSAGES: Final = counter(
    "xlvs_sync_ipvs_messages_total", ("direction",), "Messages of IPVS's sync protocol."
)
IPVS_CONNECTIONS: Final = counter(
    "xlvs_sync_ipvs_connections_total", ("direction",), "Connections in IPVS's sync protocol."
)
IPVS_DROPPED: Final = counter(
    "xlvs_sync_ipvs_dropped_total",
    ("reason",),
    "Connections that this director's messages in IPVS's sync protocol went without.",
)
IPVS_FAULTS: Final = counter(
    "xlvs_sync_ipvs_faults_total",
    ("fault",),
    "What was wrong with messages of IPVS's sync protocol that were received.",
)

FAMILIES: Final[tuple[Family, ...]] = tuple(
    each for each in list(globals().values()) if isinstance(each, Family)
)
"""All of them, in this order."""
