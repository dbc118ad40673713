# SPDX-License-Identifier: Apache-2.0
"""What a file with secrets of SYN cookies may say."""

from __future__ import annotations

import pytest

from xlvs.model.cookie_secret import cookie_secrets
from xlvs.model.problem import Problem

FIRST, SECOND = b"0123456789abcdef", b"fedcba9876543210+"


def test_a_line_or_two() -> None:
    assert cookie_secrets(b" " + FIRST + b"\n", "f") == (FIRST,)
    assert cookie_secrets(FIRST + b"\r\n\n" + SECOND, "f") == (FIRST, SECOND)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b" \n", "f has no secret"),
        (FIRST[1:] + b"\n", "f: secret 1 has 15 bytes, 16 at least"),
        (FIRST + b"\n" + b"short", "f: secret 2 has 5 bytes, 16 at least"),
        (b"\n".join(3 * [FIRST]), "f: 3 lines with a secret each, 2 at most"),
    ],
)
def test_what_is_wrong_is_said_and_the_secret_is_not(content: bytes, words: str) -> None:
    with pytest.raises(Problem, match=words) as caught:
        cookie_secrets(content, "f")
    assert "head -c 32 /dev/urandom | base64" in caught.value.message
    assert "0123" not in caught.value.message
    assert "short" not in caught.value.message
