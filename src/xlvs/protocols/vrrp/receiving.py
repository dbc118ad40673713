# SPDX-License-Identifier: Apache-2.0
"""The checks of a received advert that need the instance's configuration."""

from __future__ import annotations

from xlvs.model.service import Address
from xlvs.model.vrrp import AuthType, HmacMode, Instance
from xlvs.protocols.vrrp.hmac import Verifier
from xlvs.protocols.vrrp.packet import (
    AUTH_NONE,
    AUTH_PASS,
    HOP_LIMIT,
    OWNER,
    Advert,
    Reason,
    Rejected,
)

_V2 = 2
_PASSWORD_BYTES = 8


class Checks:
    """All that one instance asks of an advert; keeps what HMAC has to remember."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._addresses = frozenset(one.address.ip for one in instance.addresses)
        self._ttls = {peer: (low, high) for peer, low, high in instance.unicast_peer_ttls}
        self._verifier: Verifier | None = None
        if instance.authentication.type is AuthType.HMAC:
            self._verifier = Verifier(instance.authentication, instance.advert_interval)

    def before(self, source: Address, hop_limit: int) -> None:
        """What the IP header says. Raises Rejected."""
        instance = self._instance
        if not instance.unicast_peers:
            if hop_limit != HOP_LIMIT:
                raise Rejected(Reason.HOP_LIMIT, f"TTL {hop_limit} instead of 255")
            return
        if (instance.check_unicast_source or self._ttls) and source not in instance.unicast_peers:
            raise Rejected(Reason.SOURCE, "not one of unicast_peer")
        low, high = self._ttls.get(source, (0, HOP_LIMIT))
        if not low <= hop_limit <= high:
            raise Rejected(Reason.HOP_LIMIT, f"TTL {hop_limit} is not in {low}..{high}")

    def check(
        self, advert: Advert, source: Address, wall: float, *, same_master: bool
    ) -> str | None:
        """What the message says. Raises Rejected; returns what only deserves a sentence."""
        instance = self._instance
        if advert.version != instance.version:
            raise Rejected(
                Reason.VERSION, f"version {advert.version}, this one has {instance.version}"
            )
        self._authentic(advert, source, wall)
        if advert.version == _V2 and advert.interval != instance.advert_interval:
            raise Rejected(
                Reason.INTERVAL,
                f"advert interval {advert.interval:g} s, this one has"
                f" {instance.advert_interval:g} s",
            )
        if same_master and instance.skip_check_adv_addr:
            return None
        return self._same_addresses(advert)

    def _same_addresses(self, advert: Advert) -> str | None:
        theirs = frozenset(advert.addresses)
        if theirs == self._addresses:
            return None
        words = f"other addresses than here: {_difference(theirs, self._addresses)}"
        # RFC 3768 7.1 drops it, RFC 9568 7.1 only wants it said: two masters were worse.
        if advert.version == _V2 and advert.priority != OWNER:
            raise Rejected(Reason.ADDRESSES, words)
        return words

    def _authentic(self, advert: Advert, source: Address, wall: float) -> None:
        authentication = self._instance.authentication
        wanted = AUTH_PASS if authentication.type is AuthType.PASS else AUTH_NONE
        if advert.auth_type != wanted:
            raise Rejected(
                Reason.AUTH_TYPE, f"authentication type {advert.auth_type}, this one has {wanted}"
            )
        if wanted == AUTH_PASS:
            password = authentication.password[:_PASSWORD_BYTES].ljust(_PASSWORD_BYTES, b"\0")
            if advert.auth_data != password:
                raise Rejected(Reason.PASSWORD, "another password")
        if self._verifier is None:
            if advert.trailer:
                raise Rejected(Reason.LENGTH, "an HMAC, but there is no auth_hmac here")
            return
        if not advert.trailer and authentication.mode is not HmacMode.ENFORCE:
            return
        self._verifier.check(advert, source, wall)


def _difference(theirs: frozenset[Address], ours: frozenset[Address]) -> str:
    parts = []
    if more := sorted(map(str, theirs - ours)):
        parts.append(f"it has {', '.join(more)}")
    if fewer := sorted(map(str, ours - theirs)):
        parts.append(f"it lacks {', '.join(fewer)}")
    return "; ".join(parts)
