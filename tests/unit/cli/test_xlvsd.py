# SPDX-License-Identifier: Apache-2.0
"""xlvsd's command line, as far as it is about the API, metrics and logs."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from xlvs.cli.xlvsd import read_command_line
from xlvs.io.logs import Format
from xlvs.model.detail import Detail

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


# ---- metrics and logs


def test_metrics_are_off_by_default():
    found = read()
    assert found.metrics is None
    assert (found.metrics_detail, found.log_format) == (Detail.DESTINATIONS, Format.TEXT)


@pytest.mark.parametrize(
    ("words", "address"),
    [
        (["--metrics-listen", "127.0.0.1:9660"], "127.0.0.1"),
        (["--metrics-listen", "[::1]:9660"], "::1"),
        (["--metrics-listen", "10.0.1.1:9660", "--metrics-open"], "10.0.1.1"),
        (["--metrics-listen", "0.0.0.0:9660", "--metrics-open"], "0.0.0.0"),  # noqa: S104
    ],
)
def test_where_metrics_are(words, address):
    assert read(*words).metrics == (ip_address(address), 9660)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--metrics-listen", "10.0.1.1:9660"], "--metrics-open"),
        (["--metrics-listen", "[::]:9660"], "--metrics-open"),
        (["--metrics-listen", "localhost:9660"], "ADDRESS:PORT"),
        (["--metrics-open"], "--metrics-listen"),
        (["--metrics-detail", "much"], "destinations"),
        (["--log-format", "xml"], "json"),
    ],
)
def test_what_is_not_meant_is_refused(capsys, words, said):
    with pytest.raises(SystemExit) as ended:
        read(*words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_words_for_watching():
    words = ["--metrics-detail", "services", "--log-format", "json"]
    found = read(*words)
    assert (found.metrics_detail, found.log_format) == (Detail.SERVICES, Format.JSON)
