# SPDX-License-Identifier: Apache-2.0
"""Edits: the only way in which what is wanted changes."""

from __future__ import annotations

import msgspec

from xlvs.model.service import Destination, DestinationKey, Service, ServiceKey


class Edit(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", forbid_unknown_fields=True):
    """Base of all edits; ``op`` in JSON names the kind."""


class AddService(Edit, tag="service.add"):
    service: Service


class EditService(Edit, tag="service.edit"):
    service: Service


class DeleteService(Edit, tag="service.delete"):
    key: ServiceKey


class AddDestination(Edit, tag="destination.add"):
    service: ServiceKey
    destination: Destination


class EditDestination(Edit, tag="destination.edit"):
    service: ServiceKey
    destination: Destination


class DeleteDestination(Edit, tag="destination.delete"):
    service: ServiceKey
    destination: DestinationKey


class Clear(Edit, tag="clear"):
    """All services and destinations go (``ipvsadm -C``)."""


class SetTimeouts(Edit, tag="timeouts.set"):
    """Seconds; 0 keeps the value (``ipvsadm --set``)."""

    tcp: int = 0
    tcp_fin: int = 0
    udp: int = 0


class Zero(Edit, tag="counters.zero"):
    """Counters of one service, or of all, begin at zero again (``ipvsadm -Z``)."""

    service: ServiceKey | None = None


AnyEdit = (
    AddService
    | EditService
    | DeleteService
    | AddDestination
    | EditDestination
    | DeleteDestination
    | Clear
    | SetTimeouts
    | Zero
)
