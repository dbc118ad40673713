# SPDX-License-Identifier: Apache-2.0
"""``client_list``, and the words of a virtual server that say who may open connections."""

from __future__ import annotations

from tests.unit.config.keepalived.reading import problems, read, with_service

from xlvs.model.service import Limit, Limits


def test_lists_and_limits_of_a_virtual_server() -> None:
    found = read(
        """
client_list office {
    192.0.2.0/24 192.0.2.7   # two in one line
    2001:db8::/32
}
deny_address_group bad {
    203.0.113.9
}
client_list none {
}
"""
        + with_service(
            "allow office\n whtlst_addr_gname none\n blklst_addr_gname bad\n"
            "client_connections 20\n client_rate 5:9\n client_prefix 24\n"
            "service_connections 1000\n cps_limit 100"
        )
    )
    assert found.lists == {
        "office": ("192.0.2.0/24", "192.0.2.7", "2001:db8::/32"),
        "bad": ("203.0.113.9",),
        "none": (),
    }
    service = found.services[0].service
    assert (service.allow, service.deny) == (("office", "none"), ("bad",))
    assert service.limits == Limits(
        client=Limit(connections=20, rate=5, burst=9),
        service=Limit(connections=1000, rate=100),
        client_prefix=24,
    )


def test_a_list_may_be_a_file_of_its_own() -> None:
    files = {"/etc/bad.txt": b"# made at night\n192.0.2.1\n\n2001:db8::/48 # a net\n"}
    found = read("client_list bad {\n 198.51.100.1\n file /etc/bad.txt\n}\n", files)
    assert found.lists == {"bad": ("198.51.100.1", "192.0.2.1", "2001:db8::/48")}


def test_what_is_no_prefix_is_told_with_its_place() -> None:
    assert problems("client_list bad {\n  192.0.2.1 192.0.2.1/24\n}\n") == [
        "2:13: 192.0.2.1/24 has bits beyond its prefix: 192.0.2.0/24 would be right"
    ]
    files = {"/etc/bad.txt": b"192.0.2.1\nbad.example\n"}
    (said,) = problems("client_list bad {\n  file /etc/bad.txt\n}\n", files)
    assert said.startswith("/etc/bad.txt:2:")
    assert "'bad.example' is no address or prefix" in said


def test_what_cannot_be_is_told() -> None:
    assert "there is no client_list 'x'" in problems(with_service("deny x"))[0]
    assert "/etc/no cannot be read" in problems("client_list a {\n file /etc/no\n}\n")[0]
    assert (
        "wants the whole path of a list, not 'no'" in problems("client_list a {\n file no\n}\n")[0]
    )
    assert "is N or N:BURST, not '5:'" in problems(with_service("client_rate 5:"))[0]
    assert "0 to 1000000, not 2000000" in problems(with_service("client_rate 2000000"))[0]
    assert "1 to 32 bits here" in problems(with_service("client_prefix 33"))[0]
