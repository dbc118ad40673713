# SPDX-License-Identifier: Apache-2.0
"""An instance's adverts as datagrams."""

from __future__ import annotations

from xlvs.model.service import Address, Family
from xlvs.model.vrrp import AuthType, HmacMode, Instance
from xlvs.protocols.vrrp.effects import Datagram
from xlvs.protocols.vrrp.hmac import Signer
from xlvs.protocols.vrrp.packet import (
    AUTH_NONE,
    AUTH_PASS,
    GROUP4,
    GROUP6,
    HOP_LIMIT,
    Advert,
    Form,
    build,
    seal,
)


def group(instance: Instance) -> Address:
    """Where multicast adverts of an instance go."""
    if instance.multicast_group is not None:
        return instance.multicast_group
    return GROUP6 if instance.family is Family.INET6 else GROUP4


class Sender:
    """Builds adverts; keeps the sequence numbers of ``auth_hmac``."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._signer: Signer | None = None
        authentication = instance.authentication
        if (
            authentication.type is AuthType.HMAC
            and authentication.mode is not HmacMode.RECEIVE_ONLY
        ):
            self._signer = Signer(authentication, instance.advert_interval)
        self._destinations = instance.unicast_peers or (group(instance),)
        self._hop_limit = HOP_LIMIT
        if instance.unicast_peers and instance.unicast_ttl is not None:
            self._hop_limit = instance.unicast_ttl
        # keepalived 2.2 takes no other than its own, and counts each as a sign of life.
        self._form = Form.MESSAGE if instance.v3_checksum_as_v2 else Form.PSEUDO

    def heard(self, form: Form) -> None:
        """A peer uses this form of checksum; so do we, unless told otherwise."""
        if self._instance.v3_checksum_as_v2 is None:
            self._form = form

    def datagrams(self, priority: int, source: Address, wall: float) -> list[Datagram]:
        """One advert for every destination; ``wall``: seconds since the epoch."""
        instance = self._instance
        password = instance.authentication.type is AuthType.PASS
        message = build(
            Advert(
                instance.version,
                instance.router_id,
                priority,
                instance.advert_interval,
                tuple(one.address.ip for one in instance.addresses),
                AUTH_PASS if password else AUTH_NONE,
                instance.authentication.password if password else b"",
            )
        )
        # One signature for all: the receiver's address is not part of it.
        trailer = self._signer.trailer(message, source, wall) if self._signer else b""
        return [
            Datagram(
                instance.name,
                source,
                destination,
                self._hop_limit,
                seal(message, source, destination, self._form, trailer),
            )
            for destination in self._destinations
        ]
