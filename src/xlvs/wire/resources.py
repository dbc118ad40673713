# SPDX-License-Identifier: Apache-2.0
"""What is configured, as resources of the API: what is read is what may be written."""

from __future__ import annotations

import msgspec

from xlvs.model.mark import MarkRule
from xlvs.model.service import Address, Destination, Service
from xlvs.wire.following import QuorumView, SyncView, VrrpView
from xlvs.wire.messages import Counters, Rates, Timeouts


class ConfiguredService(Service, frozen=True, kw_only=True):
    """A virtual service with its real servers, newest first.

    ``key`` may be left out where the path says it. Without ``destinations`` those that
    there are stay; with them there will be these and no others. New ones come before old
    ones, as always.
    """

    destinations: tuple[Destination, ...] | None = None

    @property
    def service(self) -> Service:
        """Without its real servers."""
        fields = Service.__struct_fields__
        return Service(**{name: getattr(self, name) for name in fields})


class MarkRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mark rules in their order; a rule's number is its place, counted from 1."""

    rules: tuple[MarkRule, ...]


class ClientPrefixes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list of clients: its prefixes, in any order; addresses without their length are single."""

    prefixes: tuple[str, ...]


class ClientLists(msgspec.Struct, frozen=True, kw_only=True):
    """Lists of clients by name, and how many prefixes each has."""

    lists: dict[str, int]


class RunningConfiguration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that is asked for of a director.

    ``settings``: those that somebody asked for, by their full names; others are as usual.
    ``pools`` of local addresses stay if they are not named.
    ``lists``: prefixes of lists of clients, by name; they stay as well.
    """

    services: tuple[ConfiguredService, ...]
    timeouts: Timeouts
    marks: tuple[MarkRule, ...]
    settings: dict[str, str]
    pools: dict[str, tuple[Address, ...]] | None = None
    lists: dict[str, tuple[str, ...]] | None = None


class DrainRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``seconds``: how long; 0: nobody removes it; None: ``net.xlvs.drain_seconds``."""

    seconds: int | None = None


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Of all services together, and packets by what became of them.

    ``refused_tokens``: requests over TCP without a token that is known, since the daemon's start.
    """

    totals: Counters
    rates: Rates
    reasons: dict[str, dict[str, int]]
    refused_tokens: int


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Services of the configuration file with their real servers' checks."""

    services: list[QuorumView]


class Vrrp(msgspec.Struct, frozen=True, kw_only=True):
    """VRRP instances of the configuration file."""

    instances: list[VrrpView]


class Sync(msgspec.Struct, frozen=True, kw_only=True):
    """Connection sync; None: there is none."""

    sync: SyncView | None
