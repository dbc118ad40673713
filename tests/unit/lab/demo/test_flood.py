# SPDX-License-Identifier: Apache-2.0
"""What the act about floods reads from listings."""

from __future__ import annotations

import json

from xlvs.lab.demo.flood import answered, strangers

LISTING = """\
IPVS connection entries
pro expire state       source             virtual            destination
TCP 14:59  ESTABLISHED 10.1.0.2:40000     10.0.0.4:80        10.3.0.14:80
TCP 00:58  SYN_RECV    198.51.100.7:40001 10.0.0.4:80        10.3.0.15:80
TCP 14:59  ESTABLISHED [fd00:1::2]:40002  [fd00::4]:80       [fd00:3::14]:80
"""


def test_strangers_are_everybody_but_the_client():
    assert strangers(LISTING, ("10.1.0.2", "fd00:1::2")) == 1
    assert strangers(LISTING, ("10.1.0.2",)) == 2
    assert strangers(LISTING.replace("198.51.100.7", "10.1.0.2"), ("10.1.0.2", "fd00:1::2")) == 0


def test_answers_are_counted():
    reasons = {"reply_syn_cookie": {"packets": 5, "bytes": 300}}
    assert answered(json.dumps({"reasons": reasons})) == 5
    assert answered(json.dumps({"reasons": {}})) == 0
