# SPDX-License-Identifier: Apache-2.0
"""Every reason has a sentence, and no sentence is of a reason that is not."""

from __future__ import annotations

import re
from pathlib import Path

from xlvs.engine.reasons import SENTENCES, sentence

ABI = (Path(__file__).parents[3] / "bpf" / "abi.h").read_text()
ENUM = re.search(r"enum xlvs_reason \{(.*?)\};", ABI, re.DOTALL)
PREFIXES = {
    "fwd": ("sent", "translated", "given", "the real server's answer", "an ICMP error"),
    "reply": ("answered", "an ICMP error"),
    "pass": ("passed",),
    "drop": ("dropped",),
}


def test_each_reason_has_a_sentence() -> None:
    assert ENUM is not None
    names = re.findall(r"XLVS_REASON_(\w+)", ENUM.group(1))
    assert [name.lower() for name in names if name != "MAX"] == list(SENTENCES)


def test_sentences_say_what_the_name_says() -> None:
    for name, words in SENTENCES.items():
        kind = name.partition("_")[0]
        assert words.startswith(PREFIXES.get(kind, (words,))), name


def test_a_newer_data_path_is_quoted() -> None:
    assert sentence("fwd_by_carrier_pigeon") == "fwd_by_carrier_pigeon"
    assert sentence("") == "nothing was counted"
