# SPDX-License-Identifier: Apache-2.0
"""Settings: names, values and refusals as the kernel's own, where they are the kernel's."""

from __future__ import annotations

import pytest
from tests.oracle.facts import load

from xlvs.model import settings
from xlvs.model.problem import Code, Problem

FACTS = load("settings/settings")
OF_THE_MACHINE = {"sync_qlen_max"}
"""Its default is computed from the memory that there is."""

NEWER = {"conn_lfactor", "est_nice", "svc_lfactor"}
"""Settings that the recorded kernel did not have yet."""

STRICTER = {"", "1 2", "3 50", "50 3", "3 3", "0 0", "3 0", "0 1", "-1 5", "1 -5", "1 2 3", "1\t2"}
"""The kernel passes over nothing, and over numbers too many; we refuse them."""


def test_the_kernels_names_and_defaults():
    ours = {key for key in settings.SETTINGS if not key.startswith("xlvs.")}
    assert ours - NEWER == FACTS["defaults"].keys()
    for key, default in FACTS["defaults"].items():
        if key not in OF_THE_MACHINE:
            assert settings.text(key, settings.SETTINGS[key].default) == default, key


@pytest.mark.parametrize("key", sorted(FACTS["writes"]))
def test_what_the_kernel_takes_and_what_it_refuses(key):
    for text, error, after in FACTS["writes"][key]:
        name = f"net.ipv4.vs.{key}"
        if text in STRICTER and (key != "sync_threshold" or text in ("", "1 2 3")):
            with pytest.raises(Problem):
                settings.changed({}, [(name, text)])
            continue
        if error:
            with pytest.raises(Problem) as caught:
                settings.changed({}, [(name, text)])
            assert caught.value.where == name
            continue
        value = settings.changed({}, [(name, text)])[key]
        shown = settings.text(key, value)
        # The kernel's own timer changed this one between writing and reading.
        if (key, text) not in {(mode, "2") for mode in ("drop_entry", "drop_packet", "secure_tcp")}:
            assert shown == after, (key, text)


def test_spellings_of_names():
    wanted = [("net.ipv4.vs.conn_reuse_mode", "0"), ("net/ipv4/vs/sloppy_tcp", "1")]
    wanted += [("conn_reuse_mode", "2"), ("net.xlvs.drain_seconds", "60")]
    assert settings.changed({}, wanted) == {
        "conn_reuse_mode": (2,),
        "sloppy_tcp": (1,),
        "xlvs.drain_seconds": (60,),
    }
    assert [settings.full_name(key) for key in ("sloppy_tcp", "xlvs.profile")] == [
        "net.ipv4.vs.sloppy_tcp",
        "net.xlvs.profile",
    ]
    assert settings.split(" net.ipv4.vs.sync_threshold =3 50") == (
        "net.ipv4.vs.sync_threshold",
        "3 50",
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("net.ipv4.vs.nonsense", "1", "there is no setting net.ipv4.vs.nonsense"),
        ("", "1", "there is no setting ''"),
        ("net.ipv4.vs.est_cpulist", "0-3", "est_cpulist is for threads that xlvs does not have"),
        ("net.ipv4.vs.xlvs.reset", "1", "there is no setting net.ipv4.vs.xlvs.reset"),
        ("net.xlvs.sloppy_tcp", "1", "there is no setting net.xlvs.sloppy_tcp"),
        ("net.ipv4.vs.sloppy_tcp", "yes", "sloppy_tcp wants a whole number, not 'yes'"),
        ("net.ipv4.vs.sloppy_tcp", "1_0", "wants a whole number, not '1_0'"),
        ("net.ipv4.vs.sloppy_tcp", "\N{ARABIC-INDIC DIGIT ONE}", "wants a whole number"),
        ("net.ipv4.vs.sloppy_tcp", "9" * 5000, "must be -2147483648 to 2147483647"),
        ("net.ipv4.vs.drop_packet", "4", "net.ipv4.vs.drop_packet must be 0 to 3, not 4"),
        ("net.ipv4.vs.sync_threshold", "50 3", "first number must be below the second"),
        ("net.ipv4.vs.sync_ports", "3", "must be a power of two, not 3"),
        ("net.xlvs.profile", "fast", "net.xlvs.profile must be ipvs or modern, not 'fast'"),
        ("net.xlvs.profile", "1", "must be ipvs or modern"),
        ("net.xlvs.icmp_answers_per_second", "-1", "must be 0 to 2147483647, not -1"),
        ("net.xlvs.toa_kind", "251", "must be 252 to 254, not 251"),
    ],
)
def test_what_is_refused(name, value, message):
    with pytest.raises(Problem) as caught:
        settings.changed({}, [("net.ipv4.vs.sloppy_tcp", "1"), (name, value)])
    assert message in caught.value.message
    assert caught.value.code in (Code.INVALID, Code.OUT_OF_RANGE, Code.NOT_SUPPORTED)


def test_a_word_without_a_value():
    with pytest.raises(Problem, match=r"a setting is net\.ipv4\.vs\.KEY=VALUE, not 'sloppy_tcp'"):
        settings.split("sloppy_tcp")


def test_fewer_numbers_leave_the_others():
    values = settings.changed({}, [("sync_threshold", "1 20")])
    assert settings.changed(values, [("sync_threshold", "7")])["sync_threshold"] == (7, 20)
    with pytest.raises(Problem):
        settings.changed(values, [("sync_threshold", "20")])


def test_default_gives_up_what_was_asked_for():
    values = settings.changed({}, [("sloppy_tcp", "1"), ("net.xlvs.profile", "modern")])
    assert settings.changed(values, [("sloppy_tcp", "default")]) == {"xlvs.profile": (1,)}
    assert settings.changed({}, [("sloppy_tcp", "default")]) == {}


def test_a_profile_changes_defaults_and_nothing_that_was_asked_for():
    assert settings.profile({}) == "ipvs"
    values = settings.changed({}, [("net.xlvs.profile", "modern"), ("net.xlvs.reset", "0")])
    assert settings.profile(values) == "modern"
    now = settings.numbers(values)
    assert (now["xlvs.reset"], now["xlvs.reschedule"]) == (0, 1)
    assert (now["conn_reuse_mode"], now["xlvs.drain_seconds"]) == (3, 300)
    assert settings.defaults(values)["xlvs.reset"] == (1,)
    plain = settings.numbers({})
    assert (plain["xlvs.reset"], plain["xlvs.reschedule"], plain["xlvs.drain_seconds"]) == (0, 0, 0)
    assert plain["conn_reuse_mode"] == 1


def test_a_setting_without_effect_says_why():
    values = {"conntrack": (1,), "sync_retries": (0,), "sloppy_tcp": (1,)}
    assert settings.warnings(values) == [
        "net.ipv4.vs.conntrack has no effect: balanced packets do not meet netfilter's tracking"
    ]


def test_defaults_are_within_their_ranges():
    for key, setting in settings.SETTINGS.items():
        assert all(setting.low <= number <= setting.high for number in setting.default), key
        assert settings.changed(
            {}, [(key if "." not in key else f"net.{key}", settings.text(key, setting.default))]
        )
    assert "sync_threshold" not in settings.numbers({})


def test_values_of_another_version_are_passed_over():
    assert settings.known({"gone": (1,), "sloppy_tcp": (1,), "sync_threshold": (1,)}) == {
        "sloppy_tcp": (1,)
    }
