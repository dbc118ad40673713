# SPDX-License-Identifier: Apache-2.0
"""What is long, deep or repeated takes time that grows with it, not with its square."""

from __future__ import annotations

import contextlib
import time

import pytest
from tests.unit.config.keepalived.reading import MAIN, read, surroundings, with_instance

from xlvs.config.keepalived.load import load
from xlvs.config.keepalived.places import ConfigurationError
from xlvs.config.ldirectord import convert

LONG = 60_000


@pytest.mark.parametrize(
    "text",
    [
        "a ${" + "x" * LONG,
        "a ${" + "x " * (LONG // 2),
        "$A=1\n" + "a " + "${A " * (LONG // 4),
        "~LST(" + "{" * LONG,
        "~LST(A" + ",x" * (LONG // 2),
        "~SEQ(" + "1," * (LONG // 2),
        "a " + "\\#" * (LONG // 2),
        'a "' * (LONG // 3),
        "a " + "\\" * LONG,
        "{" * LONG,
        "}" * LONG,
        "global_defs {\n startup_script " + "'\\" * (LONG // 2) + "\n}",
        "include {" + "{a,b}" * 2000,
        "x" * LONG + " y",
        "a " + "\\\n" * LONG,
        "$A= \\\n" + "b \\\n" * LONG,
        "@main " * 5000 + "a",
        "virtual_server 10.0.0.1 80 {\n protocol " + "T" * LONG + "\n}",
        "vrrp_instance " + "V" * LONG + " {\n}",
    ],
    ids=lambda text: text[:16].replace("\n", " "),
)
def test_long_lines_end_soon(text):
    began = time.process_time()
    with contextlib.suppress(ConfigurationError):
        load(MAIN, surroundings({MAIN: text}))
    assert time.process_time() - began < 3


@pytest.mark.parametrize(
    "value", ["->" * LONG, " " * LONG + "x", "10.0.0.1" + " gate" * LONG, '"' * LONG, '",' * LONG]
)
def test_long_lines_of_ldirectord_end_soon(value):
    began = time.process_time()
    for length in (4000, LONG):
        with pytest.raises(ConfigurationError):
            convert(f"virtual=10.0.0.1:80\n\treal={value[:length]}", "l.cf")
    assert time.process_time() - began < 3


def test_many_addresses():
    lines = "virtual_ipaddress_excluded {\n~SEQ(A,0,19) ~SEQ(B,1,250) 10.5.${A}.${B}\n}"
    began = time.process_time()
    assert len(read(with_instance(lines)).instances[0].excluded) == 5000
    assert time.process_time() - began < 3


def test_many_instances():
    text = """
$V= \\
vrrp_instance vrrp4.${IF}.${ID} { \\
    interface bond${IF} \\
    virtual_router_id ${ID} \\
    priority 130 \\
    virtual_ipaddress { \\
        10.${IF}.1.${ID}/24 \\
    } \\
}
~SEQ(IF,0,7) ~SEQ(ID,1,254) $V
"""
    began = time.process_time()
    assert len(read(text).instances) == 8 * 254
    assert time.process_time() - began < 4
