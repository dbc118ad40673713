# SPDX-License-Identifier: Apache-2.0
"""Reads texts as files that are nowhere."""

from __future__ import annotations

import fnmatch
import random

import pytest

from xlvs.config.keepalived.load import load
from xlvs.config.keepalived.places import ConfigurationError, Findings
from xlvs.config.keepalived.reader import Files, Reader, Surroundings

MAIN = "/etc/k.conf"


def surroundings(files, config_id="main", environment=None):
    def read(path):
        if path not in files:
            raise FileNotFoundError(2, "No such file or directory")
        found = files[path]
        return found if isinstance(found, bytes) else found.encode()

    def glob(pattern):
        return [path for path in files if fnmatch.fnmatch(path, pattern)]

    return Surroundings(Files(read, glob, read), config_id, environment or {}, random.Random(7))


def tree(text, files=None, **more):
    """The words of all lines, nested; and the findings."""
    findings = Findings()
    reader = Reader(surroundings({MAIN: text, **(files or {})}, **more), findings)
    return [_words(node) for node in reader.read(MAIN)], findings


def _words(node):
    if node.children is None:
        return node.words
    return [*node.words, [_words(child) for child in node.children]]


def read(text, files=None, **more):
    return load(MAIN, surroundings({MAIN: text, **(files or {})}, **more))


def problems(text, files=None, **more):
    """``line:column: message`` of each."""
    with pytest.raises(ConfigurationError) as caught:
        read(text, files, **more)
    return [
        f"{each.where.removeprefix(MAIN + ':')}: {each.message}" for each in caught.value.problems
    ]


def remarks(text, **more):
    return [each.removeprefix(MAIN + ":") for each in read(text, **more).remarks]


def instance(lines, name="V"):
    """The one instance of a file with these lines in it."""
    return read(with_instance(lines, name)).instances[0]


def with_instance(lines, name="V"):
    return f"""vrrp_instance {name} {{
    interface eth0
    virtual_router_id 51
    virtual_ipaddress {{
        10.0.0.1/24
    }}
{lines}
}}
"""


def service(lines="", server="", key="10.0.0.1 80"):
    """The one service of a file with these lines in it."""
    return read(with_service(lines, server, key)).services[0]


def with_service(lines="", server="", key="10.0.0.1 80"):
    return f"""virtual_server {key} {{
    lvs_sched rr
    lvs_method NAT
    protocol TCP
{lines}
    real_server 10.0.1.1 80 {{
{server}
    }}
}}
"""
