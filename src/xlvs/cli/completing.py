# SPDX-License-Identifier: Apache-2.0
"""Words that a running director knows, for a shell that completes them. Without one: none."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Iterator

from xlvs.wire.messages import ServiceView

PATIENCE = 1.0
"""Seconds: somebody waits with a finger on the key."""

Words = Callable[[argparse.Namespace], Iterable[str]]


def completed(action: argparse.Action, words: Words) -> None:
    """Let a shell offer these words for an argument."""

    def completer(*, parsed_args: argparse.Namespace, **_: object) -> list[str]:
        return sorted(set(words(parsed_args)))

    # Where argcomplete looks.
    action.completer = completer  # type: ignore[attr-defined]


def is_asked() -> bool:
    """Whether a shell asks, and no person."""
    return "_ARGCOMPLETE" in os.environ


def line() -> list[str]:
    """The words that are being completed."""
    return os.environ.get("COMP_LINE", "").split()


def answer(parser: argparse.ArgumentParser) -> None:
    """Tell the shell, and end the process."""
    import argcomplete  # noqa: PLC0415 - nobody else needs it

    argcomplete.autocomplete(parser)


def services(args: argparse.Namespace) -> Iterator[str]:
    """Services as a filter names them."""
    from xlvs.wire.endpoint import service_name  # noqa: PLC0415 - only when asked

    return (service_name(each.service.key) for each in _services(args))


def virtual_ends(args: argparse.Namespace) -> Iterator[str]:
    """Services' addresses with their ports."""
    from xlvs.model.words import host_port  # noqa: PLC0415 - only when asked

    for each in _services(args):
        if each.service.key.address is not None:
            yield host_port(each.service.key.address, each.service.key.port)


def destination_ends(args: argparse.Namespace) -> Iterator[str]:
    """Real servers' addresses with their ports."""
    from xlvs.model.words import host_port  # noqa: PLC0415 - only when asked

    for each in _services(args):
        for view in each.destinations:
            yield host_port(view.destination.key.address, view.destination.key.port)


def setting_names(_args: argparse.Namespace) -> Iterable[str]:
    """Settings; no director is needed for their names."""
    from xlvs.model import settings  # noqa: PLC0415 - only when asked

    return map(settings.full_name, settings.SETTINGS)


def _services(args: argparse.Namespace) -> list[ServiceView]:
    from xlvs.client import Client  # noqa: PLC0415 - only when asked
    from xlvs.model.problem import Problem  # noqa: PLC0415 - only when asked

    try:
        return Client(args.instance, patience=PATIENCE).services().services
    except Problem:
        return []
