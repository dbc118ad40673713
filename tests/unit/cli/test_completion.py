# SPDX-License-Identifier: Apache-2.0
"""Words that shells complete: asked of the shells themselves, with and without a director."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import threading
from ipaddress import ip_address

import pytest

from xlvs.cli.ipvsadm.options import OPTIONS
from xlvs.cli.main import main
from xlvs.model.service import Destination, DestinationKey, Protocol, Service, ServiceKey
from xlvs.wire import codec
from xlvs.wire.messages import Counters, DestinationView, Rates, ServiceList, ServiceView

ZERO = {"stats": Counters(), "live": Counters(), "rates": Rates()}
SERVER = DestinationView(
    destination=Destination(key=DestinationKey(address=ip_address("10.2.0.11"), port=8080)),
    active=0,
    inactive=0,
    persistent=0,
    next_hop="local",
    **ZERO,
)
SERVICES = ServiceList(
    services=[
        ServiceView(service=Service(key=key), destinations=[SERVER], remarks=[], **ZERO)
        for key in (
            ServiceKey(protocol=Protocol.TCP, address=ip_address("10.0.0.1"), port=80),
            ServiceKey(protocol=Protocol.UDP, address=ip_address("fd00::1"), port=53),
            ServiceKey(protocol=Protocol.FWM, fwmark=7),
        )
    ],
    table_size=4096,
)


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """What each shell reads, and a folder with the two programs' names in it."""
    folder = tmp_path_factory.mktemp("completion")
    xlvs = folder / "xlvs"
    xlvs.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m xlvs.cli.main "$@"\n')
    xlvs.chmod(0o755)
    for shell in ("bash", "zsh", "fish"):
        done = subprocess.run(
            [xlvs, "completion", shell], check=True, capture_output=True, text=True
        )
        (folder / shell).write_text(done.stdout)
    return folder


@pytest.fixture
def environment(tmp_path, scripts):
    path = f"{scripts}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "XLVS_RUN": str(tmp_path), "HOME": str(tmp_path)}


@pytest.fixture
def director(tmp_path):
    """One that says its services to whoever asks, until the end."""
    body = codec.encode(SERVICES)
    listening = socket.create_server(str(tmp_path / "default.sock"), family=socket.AF_UNIX)

    def serve():
        while True:
            try:
                channel, _ = listening.accept()
            except OSError:
                return
            with channel:
                channel.recv(65536)
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
                channel.sendall(head.encode() + body)

    thread = threading.Thread(target=serve)
    thread.start()
    yield
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join(10)


def bash(scripts, environment, line):
    """What bash would offer at the end of the line."""
    program = shlex.split(line)[0]
    function = "_python_argcomplete" if program == "xlvs" else "_ipvsadm"
    words = [*shlex.split(line), *([""] if line.endswith(" ") else [])]
    script = f"""
source {shlex.quote(str(scripts / "bash"))}
COMP_LINE={shlex.quote(line)} COMP_POINT=${{#COMP_LINE}} COMP_TYPE=9
COMP_WORDS=({" ".join(map(shlex.quote, words))}) COMP_CWORD={len(words) - 1}
{function} {program} 2>/dev/null
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    found = offered(["bash", "--norc", "--noprofile", "-c", script], environment)
    return {"".join(shlex.split(each)) for each in found}  # as the line would be read


def fish(scripts, environment, line):
    script = f"source {scripts / 'fish'}; complete -C {shlex.quote(line)}"
    found = offered(["fish", "--no-config", "-c", script], environment)
    return {each.partition("\t")[0] for each in found}


def offered(command, environment):
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment, timeout=60
    )
    return {word.strip() for word in done.stdout.splitlines() if word.strip()}


SHELLS = pytest.mark.parametrize("ask", [bash, fish])


@SHELLS
def test_commands_and_options(ask, scripts, environment):
    assert ask(scripts, environment, "xlvs conn") == {"connection", "connections"}
    assert "--templates" in ask(scripts, environment, "xlvs connections --te")
    assert ask(scripts, environment, "xlvs status -o ") == {"table", "json"}
    assert ask(scripts, environment, "xlvs completion ") >= {"bash", "zsh", "fish"}


@SHELLS
@pytest.mark.usefixtures("director")
def test_words_of_the_running_director(ask, scripts, environment):
    servers = ask(scripts, environment, "xlvs connections --destination 10.2")
    assert servers == {"10.2.0.11:8080"}
    services = ask(scripts, environment, "xlvs connections --service ")
    assert services == {"tcp/10.0.0.1:80", "udp/[fd00::1]:53", "fwm/7"}
    assert "10.0.0.1:80" in ask(scripts, environment, "xlvs connection close 192.0.2.1:5 ")
    assert "10.0.0.1:80" in ask(scripts, environment, "xlvs destination drain ")
    assert ask(scripts, environment, "xlvs destination drain 10.0.0.1:80 ") >= {"10.2.0.11:8080"}


@SHELLS
def test_no_director_no_words(ask, scripts, environment):
    found = ask(scripts, environment, "xlvs connections --service ")
    assert not {word for word in found if "/" in word}
    assert "net.ipv4.vs.drop_entry" in ask(scripts, environment, "xlvs settings net.ipv4.vs.drop_")


@SHELLS
def test_ipvsadm(ask, scripts, environment):
    assert ask(scripts, environment, "ipvsadm --tun-t") >= {"--tun-type"}
    assert ask(scripts, environment, "ipvsadm -A -t 10.0.0.1:80 -s w") == {"wrr", "wlc"}
    assert ask(scripts, environment, "ipvsadm --start-daemon ") == {"master", "backup"}
    every = ask(scripts, environment, "ipvsadm --")
    assert every >= {f"--{each.name}" for each in OPTIONS}


def test_zsh_knows_both_programs(scripts, environment):
    script = (
        f"autoload -U compinit && compinit -D && source {scripts / 'zsh'} && "
        "print $_comps[xlvs] $_comps[ipvsadm]"
    )
    done = subprocess.run(
        ["zsh", "-f", "-c", script], check=True, capture_output=True, text=True, env=environment
    )
    assert done.stdout.split() == ["_python_argcomplete", "_ipvsadm"]
    assert done.stderr == ""


def test_other_shells(capsys):
    with pytest.raises(SystemExit):
        main(["completion", "tcsh"])
    assert "invalid choice: 'tcsh'" in capsys.readouterr().err
