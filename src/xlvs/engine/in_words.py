# SPDX-License-Identifier: Apache-2.0
"""Edits as an operator reads them before they are made (``xlvs plan``). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from xlvs.model.desired import Desired
from xlvs.model.edit import (
    AddDestination,
    AddService,
    AnyEdit,
    DeleteDestination,
    DeleteService,
    EditDestination,
    EditService,
    SetTimeouts,
)
from xlvs.model.service import Destination, DestinationKey, ServiceKey
from xlvs.wire.words import host_port, key_title


def in_words(desired: Desired, edits: Iterable[AnyEdit]) -> Iterator[str]:
    """One sentence for each edit of what is wanted now: what there is, and what there will be."""
    for edit in edits:
        match edit:
            case AddService(service=service):
                yield f"add {key_title(service.key)}: {_fields(service, _NOTHING)}"
            case EditService(service=service):
                before = desired.services[service.key][0]
                yield f"change {key_title(service.key)}: {_fields(service, before)}"
            case DeleteService(key=key):
                count = len(desired.services[key][1])
                yield f"remove {key_title(key)} and its {count} real servers"
            case AddDestination(service=key, destination=destination):
                yield f"add {_name(key, destination.key)}: {_fields(destination, _NOTHING)}"
            case EditDestination(service=key, destination=destination):
                now = _destination(desired, key, destination.key)
                yield f"change {_name(key, destination.key)}: {_fields(destination, now)}"
            case DeleteDestination(service=key, destination=gone):
                yield f"remove {_name(key, gone)}"
            case SetTimeouts():
                yield f"set time-outs: {_fields(edit, desired.timeouts)}"
            case _:
                yield f"{type(edit).__name__}"


_NOTHING = object()
_SHOWN_ALWAYS = {"scheduler", "method", "weight"}


def _fields(value: msgspec.Struct, before: object) -> str:
    """Those that differ: of something new, those that are not as usual."""
    said = []
    for field in msgspec.structs.fields(value):
        name, now = field.name, getattr(value, field.name)
        if name in {"key", "weight_before"}:
            continue
        if before is _NOTHING:
            if name in _SHOWN_ALWAYS or now != field.default:
                said.append(f"{name} {_value(now)}")
        elif now != getattr(before, name, now):
            said.append(f"{name} {_value(getattr(before, name))} becomes {_value(now)}")
    return ", ".join(said)


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return str(value) if value != "" else "none"


def _name(service: ServiceKey, destination: DestinationKey) -> str:
    return f"{host_port(destination.address, destination.port)} of {key_title(service)}"


def _destination(desired: Desired, service: ServiceKey, key: DestinationKey) -> Destination:
    return next(each for each in desired.services[service][1] if each.key == key)
