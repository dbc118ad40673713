# SPDX-License-Identifier: Apache-2.0
"""What SYN proxy promises clients in the servers' name.

What is set wins; else what all of the service's servers do, as far as they have shown it, and
Linux's defaults. In any case no segment may be longer than the ways to the servers take, with
what is put into it on the way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from xlvs.datapath.records import (
    SYN_SAYS_SCALE_SHIFT,
    DestinationLoad,
    Service,
    SynOffer,
    SynSays,
)
from xlvs.model import service as model

WINDOW_SCALE = 7
"""Linux's, of servers that have not shown theirs."""

FORGET = 600
"""Seconds after which a server is asked again for what it did not do."""

_TICKS = 1 << 32
_MSS_BITS = 0xFFFF
_SCALE_BITS = 15
_MSS_MIN = 48  # Linux's tcp_min_snd_mss: nothing sends less
_ETHERNET = 1500
_HEADERS = {4: 40, 6: 60}  # of IP and TCP
_TOA = {4: 8, 6: 20}
_PROXY_V1 = {4: 56, 6: 104}  # the longest line with addresses of that family, and its end
_PROXY_V2 = {4: 28, 6: 52}
_TLVS = {model.ProxyTlv.MARK: 7, model.ProxyTlv.ID: 19}
_TLV_NOOP = 3


class Learnt(NamedTuple):
    """What a service's servers do. ``mss`` 0, ``window_scale`` None: none has shown it.

    ``scaling`` False, as the others: one of them does not.
    """

    mss: int = 0
    window_scale: int | None = None
    scaling: bool = True
    sack: bool = True
    timestamps: bool = True


NOTHING = Learnt()


class Promise(NamedTuple):
    """Bytes of a segment's data; bits, None: windows are not scaled."""

    mss: int
    window_scale: int | None
    sack: bool
    timestamps: bool

    @property
    def offers(self) -> SynOffer:
        """As packets read it."""
        found = SynOffer(0)
        if self.timestamps:
            found |= SynOffer.STAMPS
        if self.sack:
            found |= SynOffer.SACK
        if self.window_scale is not None:
            found |= SynOffer.SCALE
        return found


def of_record(record: Service) -> Promise:
    """What packets promise by this record of a service with SYN proxy."""
    offers = SynOffer(record.syn_offers)
    return Promise(
        record.syn_mss,
        record.syn_scale if offers & SynOffer.SCALE else None,
        bool(offers & SynOffer.SACK),
        bool(offers & SynOffer.STAMPS),
    )


def weakest(servers: Iterable[DestinationLoad], now: int, hz: int) -> Learnt:
    """What all of these servers do. ``now``: tick."""
    mss, scales, refused = [], [], SynSays(0)
    for each in servers:
        says = SynSays(each.syn_says)
        if each.syn_says & _MSS_BITS:
            mss.append(each.syn_says & _MSS_BITS)
        if says & SynSays.SCALE:
            scales.append(each.syn_says >> SYN_SAYS_SCALE_SHIFT & _SCALE_BITS)
        if (now - each.syn_refused_at) % _TICKS < FORGET * hz:
            refused |= says
    return Learnt(
        min(mss, default=0),
        min(scales, default=None),
        not refused & SynSays.NO_SCALE,
        not refused & SynSays.NO_SACK,
        not refused & SynSays.NO_STAMPS,
    )


def promise(service: model.Service, version: int, mtus: Iterable[int], learnt: Learnt) -> Promise:
    """What clients are promised now. ``version``: of IP; ``mtus``: of the ways to the servers."""
    wanted = service.syn_proxy
    usual = _ETHERNET - _HEADERS[version]
    carried = min(mtus, default=0xFFFF) - _HEADERS[version]
    mss = max(min(wanted.mss or learnt.mss or usual, carried) - room(service, version), _MSS_MIN)
    stamps = learnt.timestamps if wanted.timestamps is None else wanted.timestamps
    sack = learnt.sack if wanted.sack is None else wanted.sack
    scale = wanted.window_scale
    if scale is None and learnt.scaling:
        scale = WINDOW_SCALE if learnt.window_scale is None else learnt.window_scale
    # SACK and the scale are remembered in the time stamp.
    return Promise(mss, scale if stamps else None, sack and stamps, stamps)


def room(service: model.Service, version: int) -> int:
    """Bytes that the director puts into a client's segments at most."""
    found = _TOA[version] if service.toa else 0
    match service.proxy_protocol:
        case model.ProxyProtocol.V1:
            found += _PROXY_V1[version]
        case model.ProxyProtocol.V2:
            header = _PROXY_V2[version] + sum(map(_TLVS.__getitem__, service.proxy_tlvs))
            found += header + _TLV_NOOP * (header % 2)
    return found
