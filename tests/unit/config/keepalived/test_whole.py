# SPDX-License-Identifier: Apache-2.0
"""Whole files: our example, keepalived's samples, mutations of both, a big one."""

from __future__ import annotations

import gc
import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.config.keepalived.reading import MAIN, read, surroundings

from xlvs.config.keepalived.load import load
from xlvs.config.keepalived.places import ConfigurationError
from xlvs.model.desired import Desired, apply_all
from xlvs.model.edit import AddDestination, AddService
from xlvs.model.problem import Problem
from xlvs.protocols.vrrp.strict import violations

EXAMPLE = (Path(__file__).parent / "example.conf").read_text()
SAMPLES = Path("/usr/share/doc/keepalived/samples")


@pytest.mark.parametrize("config_id", ["main", "backup"])
def test_the_example_is_read(config_id):
    found = read(EXAMPLE, config_id=config_id)
    first, second = found.instances
    assert first.priority == {"main": 150, "backup": 100}[config_id]
    assert len(first.addresses) == 6
    assert second.version == 3
    assert [each.name for each in found.services] == [
        *["group web"] * 6,
        "10.0.0.100 443",
        "fd00::101 53",
    ]
    assert [each.destination.weight for each in found.services[0].real_servers] == [5, 10, 0]
    assert found.services[0].real_servers[1].checks[0].connect_port == 8080
    assert found.globals.router_id == f"lvs {config_id}"


# ---- keepalived's samples, where its package is

REFUSED = {
    # Its script is behind @high and @low, and the machine is called neither.
    "keepalived.conf.conditional_conf": ["6:1: vrrp_script check_VI_0 has no script"],
    # AH was taken out of VRRP in 2004.
    "keepalived.conf.SSL_GET": [
        "19:5: auth_type AH is not supported: it was taken out of the standard in 2004; use PASS, "
        "or auth_hmac"
    ],
    # Members of a group stand in "group { … }" since 2004.
    "keepalived.conf.vrrp.lvs_syncd": [
        "3:1: vrrp_sync_group VG1 has no members: group { NAME … }",
        "4:3: unknown keyword 'VI_2' in vrrp_sync_group",
        "5:3: unknown keyword 'VI_3' in vrrp_sync_group",
    ],
    # A part of the address is missing.
    "keepalived.conf.vrrp.rules": [
        "11:8: '192.168.100.' is no IPv4 or IPv6 address",
        "26:12: '192.168.200.' is no IPv4 or IPv6 address",
    ],
}
"""Most of which keepalived 2.2.7 complains about as well, and then leaves these parts out."""


def _samples():
    return sorted(each.name for each in SAMPLES.glob("keepalived.conf.*"))


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the Debian package keepalived is not installed")
def test_all_samples_are_there():
    assert len(_samples()) >= 22
    assert set(REFUSED) <= set(_samples())


@pytest.mark.parametrize("name", _samples())
def test_a_sample_loads_or_is_refused_precisely(name):
    path = str(SAMPLES / name)
    where = surroundings({path: (SAMPLES / name).read_bytes()})
    if name in REFUSED:
        with pytest.raises(ConfigurationError) as caught:
            load(path, where)
        found = [f"{each.where}: {each.message}" for each in caught.value.problems]
        assert [each.removeprefix(f"{path}:") for each in found] == REFUSED[name]
    else:
        found = load(path, where)
        assert found.services or found.instances


def test_the_conditional_sample_loads_with_its_ids():
    name = "keepalived.conf.conditional_conf"
    if not (SAMPLES / name).exists():
        pytest.skip("the Debian package keepalived is not installed")
    path = str(SAMPLES / name)
    # The namespace is for who starts the daemon.
    text = (SAMPLES / name).read_text().replace("net_namespace", "instance")
    for config_id, priority in (("high", 170), ("low", 85)):
        found = load(path, surroundings({path: text}, config_id))
        assert found.instances[0].priority == priority


# ---- mutations


def _texts():
    return [EXAMPLE, *((SAMPLES / name).read_text() for name in _samples()[:12])]


def _mutate(text, chance):
    lines = text.split("\n")
    for _ in range(chance.randint(1, 6)):
        at, other = chance.randrange(len(lines)), chance.randrange(len(lines))
        match chance.randrange(9):
            case 0:
                del lines[at : at + chance.randint(1, 4)]
            case 1:
                lines.insert(other, lines[at])
            case 2:
                lines[at], lines[other] = lines[other], lines[at]
            case 3:
                lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
            case 4 | 5:
                words = re.findall(r"\S+", lines[at]) or [""]
                donor = re.findall(r"\S+", lines[other]) or ["{"]
                words[chance.randrange(len(words))] = chance.choice(donor)
                lines[at] = " ".join(words)
            case 6:
                words = lines[at].split() or [""]
                words.insert(chance.randrange(len(words) + 1), chance.choice(SPICE))
                lines[at] = " ".join(words)
            case 7:
                lines[at] = lines[at].replace(
                    chance.choice("0123456789ab.{}"), chance.choice(SPICE)
                )
            case 8:
                words = lines[at].split()
                chance.shuffle(words)
                lines[at] = " ".join(words)
        lines = lines or [""]
    return "\n".join(lines)


SPICE = (
    *("{", "}", '"', "'", "\\", "$", "${", "@", "@^", "~SEQ(A,1,9)", "~LST(A,1)", "include *"),
    *(
        "-1",
        "0",
        "99999999999999999999",
        "1e9",
        "\u0661",
        "²",
        "\u00a0",
        "/",
        "10.0.0.1/",
        "::",
        ":::",
    ),
    *(
        "fe80::1%eth0",
        "10.0.0.1-",
        "fwmark",
        "group",
        "weight",
        "${_RANDOM 1}",
        "${_ENV}",
        "#",
        "!",
    ),
    *(
        "hex:",
        "file:/",
        "$A=1",
        "$PORT",
        "reverse",
        "lock",
        "nexthop",
        "via",
        "1-2-3",
        "NaN",
        "inf",
    ),
    *("1.", ".", "+", "-", "%s", "\x00", "\ud7ff", "\u2028", "~SEQx(B,0x,1)", "include_check -"),
)


@pytest.mark.parametrize("seed", range(600))
def test_mutated_files_never_do_anything_but_be_refused(seed):
    chance = random.Random(seed)
    text = _mutate(chance.choice(_texts()), chance)
    _never_breaks(text.encode("utf-8", "surrogatepass"))


def _edits(found):
    for each in found.services:
        yield AddService(service=each.service)
        for server in each.real_servers:
            yield AddDestination(service=each.service.key, destination=server.destination)


def _never_breaks(data):
    try:
        found = load(MAIN, surroundings({MAIN: data}))
    except ConfigurationError as error:
        problems = error.problems
    else:
        # What is accepted can be run.
        for each in found.instances:
            assert violations(each) == ()
        apply_all(Desired(), _edits(found), "abort")
        return
    assert problems
    assert all(isinstance(each, Problem) and each.where for each in problems)


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_or_refused(text):
    _never_breaks(text.encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_read_or_refused(data):
    _never_breaks(data)


WORDS = st.sampled_from(sorted(set(re.findall(r"\S+", EXAMPLE)) | set(SPICE)))


@given(st.lists(st.lists(WORDS, max_size=6), max_size=25))
@settings(max_examples=300, deadline=None)
def test_any_words_are_read_or_refused(lines):
    _never_breaks("\n".join(map(" ".join, lines)).encode("utf-8", "surrogatepass"))


# ---- size


def big(services, servers):
    out = []
    for s in range(services):
        out.append(
            f"virtual_server 10.{s // 250}.{s % 250}.1 80 {{\n    delay_loop 6\n    lb_algo wlc\n"
            "    lb_kind DR\n    protocol TCP\n"
        )
        out += [
            f"    real_server 172.{16 + r}.{s // 250}.{s % 250} 80 {{\n        weight 10\n"
            "        TCP_CHECK {\n            connect_timeout 3\n            retry 3\n"
            "            delay_before_retry 3\n        }\n    }\n"
            for r in range(servers)
        ]
        out.append("}\n")
    return "".join(out)


@pytest.mark.alone
def test_2_000_services_with_40_000_real_servers_are_read_in_three_seconds():
    where = surroundings({MAIN: big(2000, 20)})
    began = time.process_time()
    found = load(MAIN, where)
    taken = time.process_time() - began
    assert sum(len(each.real_servers) for each in found.services) == 40_000
    assert taken < 3
    assert gc.isenabled()


def test_the_collector_is_left_as_it_was():
    gc.disable()
    try:
        read("")
        assert not gc.isenabled()
    finally:
        gc.enable()
