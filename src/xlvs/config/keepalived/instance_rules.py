# SPDX-License-Identifier: Apache-2.0
"""What an instance's values have to be together, and what keepalived makes of them.

What keepalived mends in a way that is told (a rounded interval, an order that cannot be
followed) is mended the same way, with a remark; what would leave an operator in a wrong
belief (an authentication that is not there) is refused.
"""

from __future__ import annotations

from ipaddress import IPv4Interface

import msgspec

from xlvs.config.keepalived.notifying import notifications
from xlvs.config.keepalived.reading import Reading
from xlvs.config.keepalived.table import Values
from xlvs.config.keepalived.tree import Node
from xlvs.model.service import Family
from xlvs.model.vrrp import Authentication, Garp, HmacMode, Instance, VirtualAddress

V2, V3 = 2, 3
OWNER = 255
MOST_ADDRESSES = 255
"""Addresses of one advert: they are counted in a byte."""

_IPV6 = 6
_CENTISECOND = 0.01
_V3_INTERVAL_MAX = 40.95

_NOT_FIELDS = frozenset(
    (
        *("inet6", "unicast", "authentication_node", "hmac", "addresses_nodes", "excluded_nodes"),
        *("no_virtual_ipaddress",),
    )
)


def finished(reading: Reading, node: Node, values: Values) -> Instance | None:
    """The instance, or None when what is missing was noted."""
    findings = reading.findings
    name = values["name"]
    complete = True
    if "router_id" not in values:
        findings.problem(node.place(), f"{name} has no virtual_router_id")
        complete = False
    if "interface" not in values and not (values.get("unicast_peers") and values.get("source")):
        findings.problem(
            node.place(), f"{name} has no interface (or unicast_peer and unicast_src_ip)"
        )
        complete = False
    if not complete:
        return None
    globals_ = reading.globals
    family = _family(reading, node, values)
    version = _version(reading, node, values, family)
    values["family"], values["version"] = family, version
    for field in ("strict", "skip_check_adv_addr", "lower_priority_no_advert"):
        _inherit(values, globals_, field)
    _inherit(values, globals_, "higher_priority_send_advert")
    _inherit(values, globals_, "down_timer_adverts")
    _inherit(values, globals_, "check_unicast_source")
    _inherit(values, globals_, "v3_checksum_as_v2")
    if globals_.get("startup_delay"):
        values["start_delay"] = globals_["startup_delay"]
    _authentication(reading, node, values, version)
    _interval(reading, node, values, version)
    _preemption(reading, node, values)
    _unicast(reading, node, values, family)
    _strict(reading, node, values, version)
    if not values.get("addresses") and not values.get("no_virtual_ipaddress"):
        findings.remark(node.place(), f"{name} has no virtual_ipaddress")
    if len(values.get("addresses", ())) > MOST_ADDRESSES:
        findings.problem(
            node.place(),
            f"an advert has room for {MOST_ADDRESSES} addresses: put the others into "
            "virtual_ipaddress_excluded",
        )
    values["garp"] = garp(reading, values)
    values["notify"] = notifications(reading, values)
    made = {key: each for key, each in values.items() if key not in _NOT_FIELDS}
    made.setdefault("interface", "")
    # keepalived follows the source address only if asked to.
    made.setdefault("track_source", False)
    return Instance(**made)


def _inherit(values: Values, globals_: Values, field: str) -> None:
    if field not in values and field in globals_:
        values[field] = globals_[field]


def _family(reading: Reading, node: Node, values: Values) -> Family:  # noqa: C901  # all that has one
    """Of the first address; the others have to be of the same."""
    addresses: tuple[VirtualAddress, ...] = values.get("addresses", ())
    version = _IPV6 if values.get("inet6") else 0
    if not version and values.get("unicast_peers"):
        version = values["unicast_peers"][0].version
    if not version and addresses:
        version = addresses[0].address.version
    if not version and "source" in values:
        version = values["source"].version
    nodes = [each for each in values.get("addresses_nodes", ()) if each.children is None]
    if len(nodes) == len(addresses):
        for line, each in zip(nodes, addresses, strict=True):
            if each.address.version != (version or 4):
                reading.findings.problem(
                    line.place(),
                    "the addresses of an instance are of one family: put others into "
                    "virtual_ipaddress_excluded, or into another instance",
                )
    for peer in values.get("unicast_peers", ()):
        if peer.version != (version or 4):
            reading.findings.problem(node.place(), f"the peer {peer} is of another family")
    for field in ("source", "multicast_group"):
        found = values.get(field)
        if found is not None and found.version != (version or 4):
            reading.findings.problem(node.place(), f"{found} is of another family")
    return Family.INET6 if version == _IPV6 else Family.INET


def _version(reading: Reading, node: Node, values: Values, family: Family) -> int:
    asked = values.get("version")
    if asked is not None:
        if asked == V2 and family is Family.INET6:
            reading.findings.problem(node.place(), "IPv6 needs version 3")
        return int(asked)
    if family is Family.INET6:
        return V3
    return int(reading.globals.get("vrrp_version", V2))


def _authentication(reading: Reading, node: Node, values: Values, version: int) -> None:
    legacy: Authentication | None = values.get("authentication")
    hmac: Authentication | None = values.get("hmac")
    place = values.get("authentication_node", node).place()
    if legacy is not None and hmac is not None:
        reading.findings.problem(place, "authentication and auth_hmac exclude each other")
    elif legacy is not None and version == V3:
        reading.findings.problem(
            place,
            "VRRP version 3 has no authentication (keepalived leaves it out): "
            "remove the block, or use auth_hmac",
        )
    elif legacy is not None and values.get("strict"):
        reading.findings.problem(place, "strict_mode allows no authentication")
    elif hmac is not None and values.get("strict") and hmac.mode is not HmacMode.ENFORCE:
        reading.findings.problem(node.place(), "strict_mode wants auth_hmac with mode enforce")
    if hmac is not None:
        values["authentication"] = hmac


def _interval(reading: Reading, node: Node, values: Values, version: int) -> None:
    asked = values.get("advert_interval", 1.0)
    if version == V2:
        made = float(max(1, int(asked + 0.5)))
    else:
        made = round(max(1, int(asked / _CENTISECOND + 0.5)) * _CENTISECOND, 2)
        if made > _V3_INTERVAL_MAX:
            reading.findings.problem(
                node.place(),
                f"advert_int of version 3 is at most {_V3_INTERVAL_MAX} s, not {asked:g}",
            )
            made = _V3_INTERVAL_MAX
    if made != asked:
        unit = "whole seconds" if version == V2 else "hundredths of a second"
        reading.findings.remark(
            node.place(), f"version {version} counts in {unit}: advert_int {asked:g} is {made:g}"
        )
    values["advert_interval"] = made


def _preemption(reading: Reading, node: Node, values: Values) -> None:
    remark = reading.findings.remark
    if values.get("preempt") is False and values.get("priority") == OWNER:
        remark(node.place(), "nopreempt does not go with priority 255 and has no effect")
        values["preempt"] = True
    if values.get("initial_master"):
        if values.get("preempt") is False:
            remark(node.place(), "nopreempt does not go with state MASTER and has no effect")
            values["preempt"] = True
        if values.get("preempt_delay"):
            remark(node.place(), "preempt_delay does not go with state MASTER and has no effect")
            values["preempt_delay"] = 0.0
    if values.get("preempt") is False and values.get("preempt_delay"):
        remark(node.place(), "preempt_delay does not go with nopreempt and has no effect")
        values["preempt_delay"] = 0.0


def _unicast(reading: Reading, node: Node, values: Values, family: Family) -> None:
    peers = values.get("unicast_peers", ())
    if "unicast" in values and not peers and not values.get("unicast_fault_no_peers"):
        reading.findings.remark(
            node.place(), "no unicast_peer is said: the instance uses multicast (deprecated)"
        )
    if values.get("source") is not None and values["source"] in peers:
        reading.findings.problem(node.place(), "the instance's own address is among its peers")
    if peers and values.pop("multicast_group", None) is not None:
        reading.findings.remark(node.place(), "mcast_dst_ip has no effect with unicast_peer")
    if not peers and "multicast_group" not in values:
        group = reading.globals.get(
            "vrrp_mcast_group6" if family is Family.INET6 else "vrrp_mcast_group4"
        )
        if group is not None:
            values["multicast_group"] = group
    if peers and values.get("use_vmac") is not None and not values.get("vmac_xmit_base"):
        reading.findings.remark(
            node.place(), "use_vmac with unicast_peer sends from the base interface"
        )
        values["vmac_xmit_base"] = True


def _strict(reading: Reading, node: Node, values: Values, version: int) -> None:
    """``strict_mode``: what the standard does not have is refused, not silently dropped."""
    if not values.get("strict"):
        return
    owner = values.get("priority") == OWNER
    first = values["addresses"][0].address if values.get("addresses") else IPv4Interface(0)
    wrong = {
        "needs a virtual address": not values.get("addresses"),
        "allows no unicast_peer": bool(values.get("unicast_peers")),
        "allows no preempt_delay": bool(values.get("preempt_delay")),
        "allows no vmac_xmit_base": bool(values.get("vmac_xmit_base")),
        "allows no higher_prio_send_advert": bool(values.get("higher_priority_send_advert")),
        "allows no down_timer_adverts other than 3": values.get("down_timer_adverts", 3) != 3,  # noqa: PLR2004
        "has state MASTER with priority 255, and only with it": bool(values.get("initial_master"))
        is not owner,
        "allows no accept in version 2": bool(values.get("accept")) and version == V2 and not owner,
        "needs a link-local IPv6 address as the first": first.version == _IPV6
        and not first.ip.is_link_local,
    }
    for sentence, is_so in wrong.items():
        if is_so:
            reading.findings.problem(node.place(), f"strict_mode {sentence}")
    values.setdefault("accept", owner)


_GARP = {
    "garp_delay": "delay",
    "garp_repeat": "repeat",
    "garp_refresh": "refresh",
    "garp_refresh_repeat": "refresh_repeat",
    "garp_lower_priority_delay": "lower_priority_delay",
    "garp_lower_priority_repeat": "lower_priority_repeat",
}


def garp(reading: Reading, values: Values) -> Garp:
    """Takes these fields out of an instance's values; what is not said is global."""
    globals_ = reading.globals
    found: dict[str, float | int] = {}
    for field, name in _GARP.items():
        said = values.pop(field, globals_.get(field))
        if said is not None:
            found[name] = said if name.endswith("repeat") else float(said)
    made = Garp(**found)  # type: ignore[arg-type]  # delays are floats, counts are int
    # After an advert of lower priority: as said for that, here or globally, else as globally
    # after becoming master. The instance's own words about that do not count (keepalived).
    default = Garp()
    changes: dict[str, float | int] = {}
    if "lower_priority_delay" not in found:
        changes["lower_priority_delay"] = float(globals_.get("garp_delay", default.delay))
    if "lower_priority_repeat" not in found:
        changes["lower_priority_repeat"] = globals_.get("garp_repeat", default.repeat)
    interface = values.get("interface", "")
    group = reading.garp_groups.get(interface, {})
    for field in ("garp_interval", "gna_interval"):
        said = group.get(field, globals_.get(field))
        if said is not None:
            changes["interval" if field == "garp_interval" else field] = said
    return msgspec.structs.replace(made, **changes)
