# SPDX-License-Identifier: Apache-2.0
"""A plan as the lines that iproute2 and the shell are given to build it."""

from __future__ import annotations

from xlvs.lab.plan import REPLY_TABLE, VIP_NETWORK, Host, Plan

SWITCH = "switch"
_SYSCTLS: dict[str, int | str] = {
    # Duplicate address detection would delay every IPv6 address by a second.
    "net/ipv6/conf/all/accept_dad": 0,
    "net/ipv6/conf/default/accept_dad": 0,
    "net/ipv6/conf/default/dad_transmits": 0,
    "net/ipv6/conf/default/accept_ra": 0,
    # Replies of DR and TUN come in where no request went out.
    "net/ipv4/conf/all/rp_filter": 0,
    "net/ipv4/conf/default/rp_filter": 0,
    "net/ipv4/conf/all/send_redirects": 0,
    "net/ipv4/conf/default/send_redirects": 0,
    "net/ipv4/ping_group_range": "0 2147483647",
}
_FORWARDING = {"net/ipv4/ip_forward": 1, "net/ipv6/conf/all/forwarding": 1}


def port(host: str, device: str) -> str:
    """Name of the switch's end of a wire."""
    return f"{host}-{device}"


def sysctls(host: Host) -> list[str]:
    """Shell lines for the host's namespace, before it has any interface."""
    wanted = dict(_SYSCTLS)
    if host.forwards:
        wanted |= _FORWARDING
    return [f"echo {value} > /proc/sys/{path}" for path, value in wanted.items()]


def wires(plan: Plan, namespace: dict[str, str]) -> list[str]:
    """``ip -batch`` lines that plug every card in; ``namespace`` maps a host's name."""
    return [
        f"link add name {wire.device} netns {namespace[host.name]} type veth"
        f" peer name {port(host.name, wire.device)} netns {namespace[SWITCH]}"
        for host in plan.hosts
        for wire in host.wires
    ]


def switch(plan: Plan) -> list[str]:
    """``ip -batch`` lines for the namespace with the bridges."""
    lines = ["link set lo up"]
    for network in plan.networks:
        lines += [
            f"link add name {network.name} type bridge forward_delay 0 mcast_snooping 0",
            f"link set {network.name} addrgenmode none up",
        ]
    for host in plan.hosts:
        for wire in host.wires:
            name = port(host.name, wire.device)
            lines.append(f"link set {name} master {wire.network.name} addrgenmode none up")
    return lines


def addresses(host: Host) -> list[str]:
    """``ip -batch`` lines that give a host its addresses and routes."""
    lines = ["link set lo up"]
    for wire in host.wires:
        v4, v6 = wire.network.addresses(wire.number)
        lines += [
            f"addr add {v4}/24 dev {wire.device}",
            f"addr add {v6}/64 dev {wire.device} nodad",
            f"link set {wire.device} up",
        ]
    lines += [_host_address("lo", address) for address in host.loopback]
    # Deprecated: never the source of what the host sends of its own accord.
    lines += [f"{_host_address(*pair)} preferred_lft 0" for pair in host.extra]
    for route in host.routes:
        table = f" table {route.table}" if route.table else ""
        lines.append(f"route add {route.to} via {route.via}{table}")
    return lines


def reply_rules(host: Host) -> tuple[list[str], list[str]]:
    """Lines for ``ip -batch`` and for ``ip -6 -batch``: rules have no family of their own."""
    if not host.replies_by_router:
        return [], []
    v4, v6 = (f"rule add from {prefix} lookup {REPLY_TABLE}" for prefix in VIP_NETWORK)
    return [v4], [v6]


def _host_address(device: str, address: str) -> str:
    return (
        f"addr add {address}/128 dev {device} nodad"
        if ":" in address
        else f"addr add {address}/32 dev {device}"
    )
