# SPDX-License-Identifier: Apache-2.0
"""What of a configuration only a director can do that follows a file. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from xlvs.model.configuration import Configuration, Global
from xlvs.model.problem import Code, Problem

_NAMES = {
    "instances": "VRRP instances",
    "groups": "VRRP groups",
    "static": "static addresses and routes",
    "scripts": "track scripts",
    "files": "track files",
    "processes": "track processes",
    "bfds": "BFD sessions",
    "sync": "connection sync",
}


def check_plain(configuration: Configuration) -> None:
    """Raise Problem if there is more in it than services, real servers and time-outs."""
    found = list(dict.fromkeys(_more(configuration)))
    if found:
        raise Problem(
            Code.NOT_SUPPORTED,
            f"this director follows no file, so that nobody would act on: {', '.join(found)}. "
            "Start it with xlvsd --use-file, or apply the services only",
            "/configuration",
        )


def _more(configuration: Configuration) -> Iterator[str]:
    empty = Configuration()
    for field, name in _NAMES.items():
        if getattr(configuration, field) != getattr(empty, field):
            yield name
    for service in configuration.services:
        if any(real.checks for real in service.real_servers):
            yield "health checks"
        if service.sorry_server is not None:
            yield "sorry servers"
        if service.quorum_up or service.quorum_down:
            yield "programs to be run"
        if any(real.notify_up or real.notify_down for real in service.real_servers):
            yield "programs to be run"
    yield from _more_of_globals(configuration.globals)


def _more_of_globals(said: Global) -> Iterator[str]:
    if said.startup_script or said.shutdown_script:
        yield "programs to be run"
    if said.syn_cookie_secrets:
        yield "syn_cookie_secret_file"
    if said.lvs_flush_on_stop is not Global().lvs_flush_on_stop:
        yield "lvs_flush_on_stop"
