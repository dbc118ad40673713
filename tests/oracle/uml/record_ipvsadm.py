# SPDX-License-Identifier: Apache-2.0
"""Ask the real ipvsadm again: what recordings of ``facts/ipvsadm`` asked, in a guest.

    python -m tests.oracle.uml.record_ipvsadm 22-words 28-daemon …

writes what it answers now into the recordings, so that ``git diff`` shows what differs. A new
recording is a file with ``argv`` and ``stdin`` of each record. Recordings with packets are not for
it: there is nobody at the other end of the cables.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.oracle import uml
from tests.oracle.facts import FACTS

WORK = Path("/run/work")
TIMEOUT = 100
HOSTS = "127.0.0.1 localhost\n10.0.0.1 vip.example\n192.168.200.11 rs1.example\n"
SERVICES = (
    "ftp 21/tcp\nssh 22/tcp\ndomain 53/tcp\ndomain 53/udp\nhttp 80/tcp\nhttps 443/tcp\n"
    "https 443/udp\nsip 5060/tcp\nsip 5060/udp\n"
)
FILES = {
    "hosts": HOSTS,
    "services": SERVICES,
    "nsswitch.conf": "hosts: files\nservices: files\n",
    "resolv.conf": "",
}
NETWORK = """
link set lo up
link add eth0 type veth peer name w0
link add eth1 type veth peer name w1
link set eth0 up
link set eth1 up
link set w0 up
link set w1 up
addr add 192.168.100.1/24 brd + dev eth0
addr add 192.168.200.1/24 brd + dev eth1
addr add fd00:100::1/64 dev eth0 nodad
addr add fd00:200::1/64 dev eth1 nodad
route add default via 192.168.100.254 dev eth0
route add default via fd00:100::fe dev eth0
"""
FIELDS = ("program", "argv", "stdin", "stdout", "stderr", "rc")


def path_of(name: str) -> Path:
    return FACTS / "ipvsadm" / f"{name}.json"


def in_guest(names: Sequence[str]) -> None:
    """Answers to all records of these recordings, into the work folder."""
    for name, text in FILES.items():
        made = Path("/run") / name
        made.write_text(text)
        subprocess.run(["mount", "--bind", str(made), f"/etc/{name}"], check=True)
    for name in names:
        recording = json.loads(path_of(name).read_text())
        begin(recording.get("interfaces", {}))
        answered = [answer(record) for record in recording["records"]]
        (WORK / f"{name}.json").write_text(json.dumps(answered))


def begin(interfaces: dict[str, int]) -> None:
    """A network and nothing in IPVS."""
    for role in ("master", "backup"):
        subprocess.run(["ipvsadm", "--stop-daemon", role], check=False, capture_output=True)
    subprocess.run(["ipvsadm", "-C"], check=True)
    subprocess.run(["ipvsadm", "--set", "900", "120", "300"], check=True)
    for each in json.loads(subprocess.check_output(["ip", "-j", "link", "show"])):
        if each["ifname"].startswith(("eth", "d", "abc")):
            subprocess.run(["ip", "link", "del", each["ifname"]], check=True)
    batch = NETWORK + "".join(
        f"link add {name} type dummy\nlink set {name} mtu {mtu}\nlink set {name} up\n"
        for name, mtu in interfaces.items()
    )
    subprocess.run(["ip", "-batch", "-"], input=batch, text=True, check=True)


def answer(record: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [record.get("program", "ipvsadm"), *record["argv"]],
        input=record["stdin"] or "",
        capture_output=True,
        text=True,
        check=False,
    )
    return record | {"stdout": done.stdout, "stderr": done.stderr, "rc": done.returncode}


def main(names: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as work:
        root = Path(__file__).parents[3]
        guest = ["env", f"PYTHONPATH={root}:{root / 'src'}", sys.executable, "-m", __spec__.name]
        uml.run(Path(work), [*guest, "--guest", *names], timeout=TIMEOUT)
        for name in names:
            recording = json.loads(path_of(name).read_text())
            recording["records"] = json.loads((Path(work) / f"{name}.json").read_text())
            write(path_of(name), recording)


def write(path: Path, recording: dict[str, Any]) -> None:
    """One record in a line."""
    *head, (_, records) = recording.items()
    lines = [f" {json.dumps(key)}: {json.dumps(value)},\n" for key, value in head]
    rows = [
        json.dumps({key: each[key] for key in FIELDS if key in each}, ensure_ascii=False)
        for each in records
    ]
    told = ",\n".join(f"  {row}" for row in rows)
    path.write_text(f'{{\n{"".join(lines)} "records": [\n{told}\n ]\n}}\n')


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[:1] == ["--guest"]:
        in_guest(words[1:])
    else:
        main(words)
