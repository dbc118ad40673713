# SPDX-License-Identifier: Apache-2.0
"""xlvsd's command line, as far as it is about the API."""

from __future__ import annotations

import pytest

from xlvs.cli.xlvsd import read_command_line

ALWAYS = ["--interfaces", "eth0"]
TLS = ["--api-tls-certificate", "c.pem", "--api-tls-key", "k.pem"]


def read(*words):
    return read_command_line([*ALWAYS, *words])


def test_the_api_listens_on_its_unix_socket_only():
    found = read()
    assert (found.api, found.api_group) == (None, None)


def test_tcp():
    found = read("--api-listen", "127.0.0.1:8080", "--api-token-file", "t").api
    assert (str(found.address), found.port, found.token_file) == ("127.0.0.1", 8080, "t")
    assert (found.certificate, found.key) == ("", "")
    found = read("--api-listen", "[::]:8443", "--api-token-file", "t", *TLS).api
    assert (str(found.address), found.certificate, found.key) == ("::", "c.pem", "k.pem")
    assert read("--api-group", "lvs").api_group == "lvs"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--api-listen", "8080"], "ADDRESS:PORT"),
        (["--api-listen", "127.0.0.1:8080"], "needs --api-token-file"),
        (["--api-listen", "10.0.0.1:8080", "--api-token-file", "t"], "is not loopback"),
        (["--api-listen", "0.0.0.0:8080", "--api-token-file", "t"], "is not loopback"),
        (["--api-listen", "127.0.0.1:1", "--api-token-file", "t", *TLS[:2]], "TLS needs"),
        (["--api-token-file", "t"], "are for --api-listen"),
        (TLS, "are for --api-listen"),
    ],
)
def test_what_is_refused(words, said, capsys):
    with pytest.raises(SystemExit) as caught:
        read(*words)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err
