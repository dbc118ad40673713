# SPDX-License-Identifier: Apache-2.0
"""What we read is what the real keepalived reads: its own dump (``-d``) is the witness.

It runs in a network and process namespace of its own that ends with it. Its checkers' part
needs IPVS in the kernel; what it says there is recorded in the unit tests.
"""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from xlvs.io.config_files import read_configuration

SET_UP = " && ".join(
    f"ip link add eth{n} type veth peer name p{n} && ip link set eth{n} up && ip link set p{n} up "
    f"&& ip addr add 192.168.20{n}.254/24 dev eth{n}"
    for n in range(3)
)

TEXT = r"""
$P=120
$IF_MAIN=@here
$Q=@^here
$LIST=10.9.0.1
global_defs {
    vrrp_garp_master_repeat 3
    vrrp_garp_master_refresh 60
    vrrp_skip_check_adv_addr on
}
vrrp_script S {
    script "/bin/true 'a b' c\x41 \"q\""
    interval 3
    timeout 2
    weight -4
    rise 2
    fall 3
}
track_file F {
    file /tmp/x
}
vrrp_track_process T {
    process sshd
    quorum 2
    delay 1.5
}
vrrp_instance V1 { interface eth0
    virtual_router_id 3
    $IF_MAIN priority $P
    $Q priority 7
    garp_master_delay 9
    virtual_ipaddress { $LIST
        10.1.0.2 dev eth1 scope link label eth1:x # a comment { with a brace
        10.1.0.3/24 brd +
        10.1.0.4/24 brd 10.1.0.7
        ~SEQ(X, 2) 10.1.1.${X}
        ~SEQx(Y, 0x10, 4, 0x18) 10.1.2.${Y}
        ~LST({A,B},{1,2},{3}) 10.2.${A}.1${B}
    }
    notify_master "/bin/true 'a b' c\x41 \"q\"" root
    notify_fault "/bin/true {x} #y" root # comment
    track_script {
        S weight 3
    }
    track_file {
        F
    }
    track_process {
        T weight 9 reverse
    }
    track_interface {
        eth2 weight 5
    }
}
$V= \
vrrp_instance "V ${N}" { \
    interface eth${N} \
    virtual_router_id 6 \
    @there priority 9 \
    $X9=5 \
    priority 01$X9 \
    advert_int 1.6 \
    state MASTER \
    nopreempt \
    virtual_ipaddress { \
        10.3.${N}.3 \
    } \
}
~SEQ(N, 1, 2) $V
vrrp_instance V6 {
    interface eth1
    virtual_router_id 4
    advert_int 0.925
    no_accept
    preempt_delay 4.5
    lower_prio_no_advert
    down_timer_adverts 4
    virtual_ipaddress {
        fe80::1
        fd00::2/64
    }
    unicast_peer {
        fd00::9
        fd00::a min_ttl 3 max_ttl 9
    }
}
"""


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    """Lines of the real one's dump about instances and what they track."""
    folder = tmp_path_factory.mktemp("keepalived")
    (folder / "k.conf").write_text(TEXT)
    run = (
        f"{SET_UP} && exec timeout -s KILL 20 keepalived -n -l -d -P -i here -f {folder}/k.conf "
        f"-p {folder}/p -r {folder}/r -c {folder}/c -b {folder}/b"
    )
    process = subprocess.Popen(
        ["unshare", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", run],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = []
    try:
        for line in process.stdout:
            lines.append(re.sub(r"^\w+ \w+ +\d+ [\d:]+ \d+: ", "", line.rstrip("\n")))
            if "------< Interfaces >------" in line:
                break
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
    assert any("VRRP Topology" in line for line in lines), "\n".join(lines[-40:])
    return lines


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    path = tmp_path_factory.mktemp("ours") / "k.conf"
    path.write_text(TEXT)
    return read_configuration(os.fspath(path), "here")


def section(dump, heading):
    """The lines below a heading, less indented ones end it."""
    start = next(n for n, line in enumerate(dump) if line.strip() == heading)
    depth = len(dump[start]) - len(dump[start].lstrip())
    below = []
    for line in dump[start + 1 :]:
        if len(line) - len(line.lstrip()) <= depth:
            break
        below.append(line.strip())
    return below


def values(lines):
    return dict(line.split(" = ", 1) for line in lines if " = " in line)


def test_all_instances_are_there(dump, found):
    found_lines = [line.strip() for line in dump]
    theirs = [each.split(" = ")[1] for each in found_lines if each.startswith("VRRP Instance = ")]
    assert theirs == [each.name for each in found.instances] == ["V1", "V 1", "V 2", "V6"]


@pytest.mark.parametrize("name", ["V1", "V 1", "V 2", "V6"])
def test_values_of_an_instance(dump, found, name):
    lines = section(dump, f"VRRP Instance = {name}")
    said = values(lines)
    (ours,) = [each for each in found.instances if each.name == name]
    garp = ours.garp
    expected = {
        "VRRP Version": ours.version,
        "Wantstate": "MASTER" if ours.initial_master else "BACKUP",
        "Interface": ours.interface,
        "Virtual Router ID": ours.router_id,
        "Priority": ours.priority,
        "Accept": "enabled" if ours.accept else "disabled",
        "Preempt": "enabled" if ours.preempt else "disabled",
        "Down timer adverts": ours.down_timer_adverts,
        "Gratuitous ARP delay": f"{garp.delay:g}",
        "Gratuitous ARP repeat": garp.repeat,
        "Gratuitous ARP refresh": f"{garp.refresh:g}",
        "Gratuitous ARP refresh repeat": garp.refresh_repeat,
        "Gratuitous ARP lower priority delay": f"{garp.lower_priority_delay:g}",
        "Gratuitous ARP lower priority repeat": garp.lower_priority_repeat,
        "Send advert after receive lower priority advert": (
            "false" if ours.lower_priority_no_advert else "true"
        ),
    }
    assert {key: said[key] for key in expected} == {
        key: str(each) for key, each in expected.items()
    }
    # 1.6 of version 2 is 2 sec; 0.925 of version 3 is 930 milli-sec
    number, unit = said["Advert interval"].split()
    assert float(number) / {"sec": 1, "milli-sec": 1000}[unit] == ours.advert_interval


def address(each, interface):
    text = str(each.address.ip)
    if each.address.network.prefixlen != each.address.max_prefixlen:
        text = str(each.address)
    if each.broadcast:
        text += f" brd {each.broadcast}"
    text += f" dev {each.device or interface} scope {each.scope or 'global'}"
    if each.label:
        text += f" label {each.label}"
    if each.address.version == 6:
        text += " deprecated" if each.preferred_lifetime == 0 else " preferred_lft forever"
    return text


@pytest.mark.parametrize("name", ["V1", "V 1", "V 2", "V6"])
def test_addresses_of_an_instance(dump, found, name):
    lines = section(dump, f"VRRP Instance = {name}")
    (ours,) = [each for each in found.instances if each.name == name]
    start = next(n for n, line in enumerate(lines) if line.startswith("Virtual IP ("))
    theirs = lines[start + 1 : start + 1 + len(ours.addresses)]
    assert lines[start] == f"Virtual IP ({len(ours.addresses)}):"
    assert theirs == [address(each, ours.interface) for each in ours.addresses]


def command(each):
    # keepalived follows links of the program's path
    words = (os.path.realpath(each.argv[0]), *each.argv[1:])
    return " ".join(f"'{word}'" for word in words)


def test_commands(dump, found):
    said = values(section(dump, "VRRP Instance = V1"))
    notify = found.instances[0].notify
    assert said["Master state transition script"].startswith(command(notify.master) + ",")
    assert said["Fault state transition script"].startswith(command(notify.fault) + ",")
    script = values(section(dump, "VRRP Script = S"))
    (ours,) = found.scripts
    assert script["Command"] == command(ours.command)
    assert (script["Interval"], script["Timeout"]) == ("3 sec", "2 sec")
    assert (ours.interval, ours.timeout) == (3, 2)
    assert (script["Weight"], script["Rise"], script["Fall"]) == ("-4", "2", "3")
    assert (ours.weight, ours.rise, ours.fall) == (-4, 2, 3)


def test_what_is_tracked(dump, found):
    lines = section(dump, "VRRP Instance = V1")
    ours = found.instances[0]

    def tracked(heading):
        start = lines.index(heading)
        return lines[start + 1].replace(",", "")

    assert tracked("Tracked scripts :") == f"S weight {ours.track_scripts[0].weight}"
    assert tracked("Tracked interfaces :") == "eth2 weight 5"
    assert tracked("Tracked processes :") == "T weight 9 reverse"
    # a file's weight is 1 unless said
    assert tracked("Tracked files :") == f"F weight {found.files[0].weight}"
    process = values(section(dump, "VRRP Track process = T"))
    assert (process["Min processes"], process["Weight"]) == ("2", "0")
    assert (found.processes[0].quorum, found.processes[0].weight) == (2, 0)
    assert process["Fork delay"] == "1.500000s"


def test_unicast_peers(dump, found):
    lines = section(dump, "VRRP Instance = V6")
    start = lines.index("Unicast Peer :")
    assert lines[start + 1 : start + 3] == [
        "fd00::9 min_ttl 0 max_ttl 255",
        "fd00::a min_ttl 3 max_ttl 9",
    ]
    ours = found.instances[-1]
    assert list(map(str, ours.unicast_peers)) == ["fd00::9", "fd00::a"]
    assert [each[1:] for each in ours.unicast_peer_ttls] == [(3, 9)]
    assert "Check unicast src : yes" in lines
    assert ours.check_unicast_source
