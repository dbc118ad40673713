# SPDX-License-Identifier: Apache-2.0
"""Each command has its rule; the first complaint in order is the one."""

from __future__ import annotations

import pytest

from xlvs.cli.ipvsadm import rules
from xlvs.cli.ipvsadm.errors import Fatal
from xlvs.cli.ipvsadm.options import Verb


def complaint(verb: Verb, *given: str) -> str:
    try:
        rules.check_command(verb, frozenset(given))
    except Fatal as fatal:
        return fatal.text
    return ""


def test_every_command_has_a_rule_of_known_options() -> None:
    assert set(rules.COMMANDS) == set(Verb) - {Verb.HELP, Verb.VERSION}
    for rule in (*rules.COMMANDS.values(), *rules.TUNNELS.values()):
        assert (rule.needs | rule.allows | rule.one_of) <= set(rules.ORDER)


def test_the_first_in_order_is_complained_about() -> None:
    need = "You need to supply the 'service-address' option for the 'add-server' command"
    assert complaint(Verb.ADD_SERVER, "weight", "scheduler") == need
    illegal = "Illegal 'numeric' option with the 'add-server' command"
    assert complaint(Verb.ADD_SERVER, "weight", "numeric") == illegal


@pytest.mark.parametrize("columns", ["stats", "rate", "thresholds"])
@pytest.mark.parametrize("about", ["connection", "timeout", "daemon"])
def test_listings_of_other_things_have_no_columns(about, columns) -> None:
    assert complaint(Verb.LIST, about, columns) == "options conflicts in the list command"


def test_connections_may_have_the_engines_columns() -> None:
    assert not complaint(Verb.LIST, "connection", "persistent-conn")
    assert complaint(Verb.LIST, "timeout", "persistent-conn")


def test_one_of() -> None:
    assert complaint(Verb.LIST, "timeout", "connection") == (
        "The option 'timeout' conflicts with the 'connection' option in the 'list' command"
    )
    with pytest.raises(Fatal, match="'tun-csum' conflicts with the 'tun-nocsum'"):
        rules.check_tunnel("gre", frozenset(("tun-csum", "tun-nocsum", "weight")))
