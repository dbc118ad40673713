# SPDX-License-Identifier: Apache-2.0
"""What an instance must not be: for any VRRP, and for ``strict_mode``."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Interface

from xlvs.model.service import Family
from xlvs.model.vrrp import Authentication, AuthType, HmacMode, Instance
from xlvs.protocols.vrrp.hmac import KEY_MAX, KEY_MIN
from xlvs.protocols.vrrp.packet import OWNER

_V2, _V3 = 2, 3
_V2_INTERVALS = (1, 255)
_V3_INTERVALS = (0.01, 40.95)
_COUNT_MAX = 255


def violations(instance: Instance) -> tuple[str, ...]:
    """Why this instance cannot run, in words; nothing: it can."""
    found = list(_never(instance))
    if instance.strict:
        found += _strictly(instance)
    return tuple(found)


def _never(instance: Instance) -> Iterator[str]:
    v6 = instance.family is Family.INET6
    if instance.version not in (_V2, _V3):
        yield f"version {instance.version}: there are 2 and 3"
    if instance.version == _V2 and v6:
        yield "IPv6 needs version 3"
    if not 1 <= instance.router_id <= _COUNT_MAX:
        yield f"virtual_router_id {instance.router_id} is not in 1..255"
    if not 1 <= instance.priority <= OWNER:
        yield f"priority {instance.priority} is not in 1..255"
    yield from _interval(instance)
    if len(instance.addresses) > _COUNT_MAX:
        yield "more than 255 addresses do not fit into an advert: use virtual_ipaddress_excluded"
    if any(isinstance(one.address, IPv6Interface) != v6 for one in instance.addresses):
        yield "virtual_ipaddress of the other family: use virtual_ipaddress_excluded"
    yield from _authentication(instance)
    yield from _places(instance)
    if instance.use_vmac is not None and instance.unicast_peers and not instance.vmac_xmit_base:
        yield "use_vmac with unicast_peer needs vmac_xmit_base"


def _interval(instance: Instance) -> Iterator[str]:
    interval = instance.advert_interval
    if instance.version == _V2:
        if interval != int(interval) or not _V2_INTERVALS[0] <= interval <= _V2_INTERVALS[1]:
            yield f"advert_int {interval:g}: version 2 has whole seconds, 1..255"
    elif not _V3_INTERVALS[0] <= interval <= _V3_INTERVALS[1]:
        yield f"advert_int {interval:g} is not in 0.01..40.95"


def _authentication(instance: Instance) -> Iterator[str]:
    authentication = instance.authentication
    if authentication.type is AuthType.AH:
        yield "auth_type AH is not supported: use auth_hmac, or PASS"
    elif authentication.type is AuthType.PASS and instance.version != _V2:
        yield "auth_type PASS: version 3 has no authentication: use auth_hmac"
    elif authentication.type is AuthType.HMAC:
        if not authentication.keys:
            yield "auth_hmac without a key"
        for number, key in authentication.keys:
            if not 1 <= number <= _COUNT_MAX:
                yield f"auth_hmac: key id {number} is not in 1..255"
            if not KEY_MIN <= len(key) <= KEY_MAX:
                yield f"auth_hmac: key {number} has {len(key)} bytes instead of 32..64"


def _strictly(instance: Instance) -> Iterator[str]:
    if not instance.addresses:
        yield "strict_mode: no virtual_ipaddress"
    if instance.unicast_peers:
        yield "strict_mode: unicast_peer"
    first = instance.addresses[0].address if instance.addresses else None
    if isinstance(first, IPv6Interface) and not first.ip.is_link_local:
        yield "strict_mode: the first IPv6 address is not link-local"
    if instance.initial_master != (instance.priority == OWNER):
        yield "strict_mode: state MASTER belongs to priority 255, and only to it"
    yield from _strictly_authentic(instance.authentication)
    if instance.preempt_delay:
        yield "strict_mode: preempt_delay"
    if instance.accept and instance.version == _V2 and instance.priority != OWNER:
        yield "strict_mode: accept with version 2"
    if instance.higher_priority_send_advert:
        yield "strict_mode: higher_prio_send_advert"
    if instance.vmac_xmit_base:
        yield "strict_mode: vmac_xmit_base"


def _strictly_authentic(authentication: Authentication) -> Iterator[str]:
    if authentication.type in (AuthType.PASS, AuthType.AH):
        yield "strict_mode: authentication"
    if authentication.type is AuthType.HMAC and authentication.mode is not HmacMode.ENFORCE:
        yield "strict_mode: auth_hmac has to be enforced"


def _places(instance: Instance) -> Iterator[str]:
    both = (*instance.addresses, *instance.excluded)
    if any(one.use_vmac for one in both):
        yield "use_vmac of a single address is not supported: use that of the instance"
    if instance.interface:
        return
    if not instance.unicast_peers or instance.source is None:
        yield "no interface: that needs unicast_peer and unicast_src_ip"
    if any(not one.device for one in both):
        yield "no interface: each virtual address needs its dev"
    if instance.use_vmac is not None:
        yield "use_vmac without an interface"
