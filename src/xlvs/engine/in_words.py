# SPDX-License-Identifier: Apache-2.0
"""Edits as an operator reads them: before they are made (``xlvs plan``), and after. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec.structs import asdict, replace

from xlvs.model.desired import Desired
from xlvs.model.edit import (
    AddDestination,
    AddLocalAddress,
    AddMark,
    AddService,
    AnyEdit,
    ChangeList,
    ChangePool,
    Clear,
    ClearMarks,
    DeleteDestination,
    DeleteList,
    DeleteLocalAddress,
    DeleteMark,
    DeletePool,
    DeleteService,
    DrainDestination,
    EditDestination,
    EditService,
    PutList,
    SetPool,
    SetSettings,
    SetTimeouts,
    StartSync,
    StopSync,
    UndrainDestination,
    Zero,
)
from xlvs.model.service import DestinationKey, Service, ServiceKey
from xlvs.model.words import host_port, key_title

_MOST = 8
"""Edits of one request that are told one by one."""


def summary(desired: Desired, edits: Sequence[AnyEdit]) -> str:
    """What many edits do to what is wanted now: the first of them, and how many more."""
    said = "; ".join(in_words(desired, edits[:_MOST]))
    return f"{said}; and {len(edits) - _MOST} more" if len(edits) > _MOST else said


def about(edits: Iterable[AnyEdit]) -> str:
    """The service that all of them are about, "" if there is none."""
    keys: set[ServiceKey | None] = set()
    for each in edits:
        keys.add(_service(each))
        if len(keys) > 1:
            return ""
    key = keys.pop() if keys else None
    return "" if key is None else key_title(key)


def in_words(desired: Desired, edits: Iterable[AnyEdit]) -> Iterator[str]:
    """One sentence for each edit of what is wanted now: what there is, and what there will be.

    What an edit before it has made is not known here: then only what there will be is told.
    """
    for edit in edits:
        match edit:
            case AddService(service=service):
                yield f"add {key_title(service.key)}: {_fields(service, _NOTHING)}"
            case EditService(service=service):
                entry = desired.services.get(service.key)
                before = entry[0] if entry else _NOTHING
                yield f"change {key_title(service.key)}: {_fields(service, before)}"
            case DeleteService(key=key):
                entry = desired.services.get(key)
                count = len(entry[1]) if entry else 0
                yield f"remove {key_title(key)} and its {count} real servers"
            case AddDestination(service=key, destination=destination):
                yield f"add {_name(key, destination.key)}: {_fields(destination, _NOTHING)}"
            case EditDestination(service=key, destination=destination):
                now = _destination(desired, key, destination.key)
                yield f"change {_name(key, destination.key)}: {_fields(destination, now)}"
            case DeleteDestination(service=key, destination=gone):
                yield f"remove {_name(key, gone)}"
            case DrainDestination(service=key, destination=drained):
                yield f"drain {_name(key, drained)}"
            case UndrainDestination(service=key, destination=drained):
                yield f"end the drain of {_name(key, drained)}"
            case _:
                yield _other(desired, edit)


def _other(desired: Desired, edit: AnyEdit) -> str:  # noqa: C901, PLR0911, PLR0912  # one sentence each
    match edit:
        case AddLocalAddress(service=key, address=address):
            return f"add the local address {address} to {key_title(key)}"
        case DeleteLocalAddress(service=key, address=address):
            return f"remove the local address {address} from {key_title(key)}"
        case SetPool() | ChangePool() | DeletePool():
            return _pool(edit)
        case Clear():
            return "remove all services"
        case SetTimeouts():
            given = {name: value for name, value in asdict(edit).items() if value}
            return f"set time-outs: {_fields(replace(desired.timeouts, **given), desired.timeouts)}"
        case SetSettings(values=values):
            return "set " + ", ".join(f"{name} {value}" for name, value in values.items())
        case Zero(service=named):
            return f"zero the counters of {'all services' if named is None else key_title(named)}"
        case AddMark(rule=rule):
            return f"add a rule for the mark {rule.mark}"
        case DeleteMark():
            return "remove a mark rule"
        case ClearMarks():
            return "remove all mark rules"
        case PutList(name=name, prefixes=prefixes):
            verb = "change" if name in desired.lists else "make"
            return f"{verb} the list of clients {name}: {len(prefixes)} prefixes"
        case ChangeList(name=name, add=add, remove=gone):
            return f"list of clients {name}: {len(add)} prefixes come, {len(gone)} go"
        case DeleteList(name=name):
            return f"remove the list of clients {name}"
        case StartSync(role=role, channel=channel):
            return f"start the sync {role} on {channel.interface}"
        case StopSync(role=role):
            return f"stop the sync {role} of run-time commands"
        case _:
            return type(edit).__name__


def _pool(edit: SetPool | ChangePool | DeletePool) -> str:
    words = f"the pool {edit.name} of local addresses"
    match edit:
        case SetPool(addresses=addresses):
            return f"make {words}: {', '.join(map(str, addresses))}"
        case ChangePool(add=add, remove=remove):
            changes = (*(f"+{each}" for each in add), *(f"-{each}" for each in remove))
            return f"change {words}: {', '.join(changes)}"
        case DeletePool():
            return f"remove {words}"


def _service(edit: AnyEdit) -> ServiceKey | None:
    match edit:
        case AddService(service=Service(key=key)) | EditService(service=Service(key=key)):
            return key
        case DeleteService(key=key):
            return key
        case _:
            found = getattr(edit, "service", None)
            return found if isinstance(found, ServiceKey) else None


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


def _destination(desired: Desired, service: ServiceKey, key: DestinationKey) -> object:
    _, listed = desired.services.get(service, (None, ()))
    return next((each for each in listed if each.key == key), _NOTHING)
