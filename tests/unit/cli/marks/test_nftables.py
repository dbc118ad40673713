# SPDX-License-Identifier: Apache-2.0
"""Mark rules of nft list ruleset: taken over as they are, or refused by line and word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlvs.cli.marks.reading import read
from xlvs.cli.marks.spelling import words


def ruleset(*rules: str, family: str = "inet", hook: str = "filter hook prerouting") -> str:
    """A table with one chain; the first rule is in line 4."""
    body = "\n".join(f"\t\t{rule}" for rule in rules)
    head = f"table {family} lvs {{\n\tchain pre {{\n"
    base = f"\t\ttype {hook} priority mangle; policy accept;\n" if hook else "\n"
    return f"{head}{base}{body}\n\t}}\n}}\n"


def taken(text: str) -> list[str]:
    found = read(text)
    assert found.refused == ()
    return [words(rule) for rule in found.rules]


@pytest.mark.parametrize(
    ("rule", "ours"),
    [
        ("meta mark set 0x00000001", ["1 --to any"]),
        ("mark set 1", ["1 --to any"]),
        ("ip daddr 10.9.0.0/16 meta mark set 0x1", ["1 --to 10.9.0.0/16"]),
        (
            "ip daddr 10.0.0.1 tcp dport 80 counter packets 1 bytes 60 meta mark set 0x1",
            ["1 --to 10.0.0.1/32 --protocol tcp --ports 80"],
        ),
        (
            'ip saddr 192.0.2.0/24 udp dport { 53, 8000-8999 } meta mark set 0x1 comment "a { b"',
            ["1 --from 192.0.2.0/24 --protocol udp --ports 53,8000-8999"],
        ),
        (
            "ip daddr { 10.0.0.1, 10.0.0.2-10.0.0.3 } meta mark set 7 accept",
            ["7 --to 10.0.0.1/32", "7 --to 10.0.0.2/31"],
        ),
        ("ip6 daddr fd00::/8 meta mark set 7 # handle 9", ["7 --to fd00::/8"]),
        (
            "meta l4proto { tcp, udp } th dport 53 meta mark set 1",
            ["1 --protocol tcp --ports 53", "1 --protocol udp --ports 53"],
        ),
        ("ip protocol sctp meta mark set 1", ["1 --ipv4 --protocol sctp"]),
        ("meta nfproto ipv6 meta mark set 1", ["1 --ipv6"]),
        ("meta mark set meta mark & 0xffffff00 | 0x00000007", ["0x7/0xff --to any"]),
        ("meta mark set meta mark and 0xffffff00 xor 0x7", ["0x7/0xff --to any"]),
        ("meta mark set mark or 0x4", ["0x4/0x4 --to any"]),
        (
            "meta mark set ip daddr map { 10.0.0.1 : 0x00000001, 10.0.1.0/24 : 0x00000002 }",
            ["1 --to 10.0.0.1/32", "2 --to 10.0.1.0/24"],
        ),
        (
            "ip daddr 10.0.0.1 meta mark set tcp dport map { 80 : 1, 90-99 : 2 } # handle 3",
            [
                "1 --to 10.0.0.1/32 --protocol tcp --ports 80",
                "2 --to 10.0.0.1/32 --protocol tcp --ports 90-99",
            ],
        ),
        ("tcp dport {\n 80,\n 443,\n } meta mark set 1", ["1 --protocol tcp --ports 80,443"]),
    ],
)
def test_a_rule_is_taken_over(rule: str, ours: list[str]) -> None:
    assert taken(ruleset(rule)) == ours


NAMED = """table ip lvs {
	set vips {
		type ipv4_addr
		flags interval
		elements = { 10.0.0.1, 10.0.1.0/24 }
	}
	set seen {
		type ipv4_addr
		flags dynamic
		elements = { 10.0.0.1 }
	}
	set nobody {
		type ipv4_addr
	}
	map marks {
		type ipv4_addr : mark
		elements = { 10.0.0.1 : 0x00000001,
			10.0.0.2 : 0x00000002 }
	}
	chain pre {
		type filter hook prerouting priority mangle; policy accept;
		%s
	}
}
"""


def test_named_sets_and_maps_are_looked_up() -> None:
    found = taken(NAMED % "ip daddr @vips meta mark set 3")
    assert found == ["3 --to 10.0.0.1/32", "3 --to 10.0.1.0/24"]
    found = taken(NAMED % "meta mark set ip saddr map @marks")
    assert found == ["1 --from 10.0.0.1/32", "2 --from 10.0.0.2/32"]


@pytest.mark.parametrize(
    ("rule", "word"),
    [
        ("ip daddr @seen meta mark set 3", "@seen"),
        ("ip daddr @other meta mark set 3", "@other"),
        ("ip daddr @nobody meta mark set 3", "daddr"),
        ("ip daddr @marks meta mark set 3", ":"),
        ("meta mark set ip daddr map @vips", ","),
    ],
)
def test_sets_that_say_nothing_certain_are_refused(rule: str, word: str) -> None:
    found = read(NAMED % rule)
    assert [(each.line, each.word) for each in found.refused] == [(22, word)]


def test_the_tables_family_is_the_rules() -> None:
    assert taken(ruleset("meta mark set 1", family="ip")) == ["1 --ipv4"]
    assert taken(ruleset("meta mark set 1", family="ip6")) == ["1 --ipv6"]


def test_chains_are_read_in_the_order_of_their_priorities() -> None:
    def table(name: str, priority: str, mark: int) -> str:
        base = f"type filter hook prerouting priority {priority}; policy accept"
        return f"table ip {name} {{ chain c {{ {base}\n meta mark set {mark}\n }}\n}}\n"

    text = table("a", "filter", 1) + table("b", "mangle + 5", 2) + table("c", "-150", 3)
    assert taken(text) == ["3 --ipv4", "2 --ipv4", "1 --ipv4"]


@pytest.mark.parametrize(
    ("rule", "word"),
    [
        ('iifname "eth0" meta mark set 1', "iifname"),
        ("ip daddr != 10.0.0.0/8 meta mark set 1", "!="),
        ("ip daddr @vips meta mark set 1", "@vips"),
        ("ip daddr { 10.0.0.1 : 1 } meta mark set 1", ":"),
        ("ip daddr fd00::1 meta mark set 1", "daddr"),
        ("ip ttl 3 meta mark set 1", "ttl"),
        ("tcp sport 80 meta mark set 1", "sport"),
        ("tcp dport http meta mark set 1", "http"),
        ("tcp dport 80 udp dport 80 meta mark set 1", "udp"),
        ("th dport 80 meta mark set 1", "th"),
        ("ip daddr 10.0.0.1 ip6 daddr fd00::1 meta mark set 1", "ip6"),
        ("meta mark set ct mark", "ct"),
        ("meta mark set ip daddr map { 10.0.0.1 : web }", "web"),
        ("meta mark set ip daddr map { 10.0.0.1 }", "}"),
        ("meta mark set ip daddr map { }", "map"),
        ("meta mark set ip daddr vmap { 10.0.0.1 : accept }", "vmap"),
        ("ip daddr 10.0.0.0/8 meta mark set ip daddr map { 10.0.0.1 : 1 }", "daddr"),
        ("meta mark set numgen inc mod 2", "numgen"),
        ("meta mark 7 meta mark set 1", "mark"),
        ("ct state new meta mark set 1", "ct"),
        ("meta mark set 1 tcp dport 80", "tcp"),
        ("meta mark set 1 meta mark set 2", "meta"),
        ("meta mark set 1 drop", "drop"),
        ("meta mark set 0x1ffffffff", "0x1ffffffff"),
        ("meta mark set", "set"),
        ('meta l4proto tcp xt target "MARK"', "xt"),
        ("meta l4proto tcp counter packets 0 bytes 0 # xt_MARK", "xt"),
    ],
)
def test_what_cannot_be_said_is_refused_by_its_word(rule: str, word: str) -> None:
    found = read(ruleset("ip daddr 10.0.0.1 meta mark set 9", rule, "meta mark set 9"))
    assert [(each.line, each.word) for each in found.refused] == [(5, word)]
    assert len(found.rules) == 2, "with --skip the rest counts"


def test_what_ends_the_search_is_refused_if_a_mark_would_follow() -> None:
    assert taken(ruleset("meta mark set 1", "tcp dport 22 accept")) == ["1 --to any"]
    for verdict in ("accept", "drop", "return", "jump other", "goto other"):
        found = read(ruleset(f"tcp dport 22 {verdict}", "meta mark set 1"))
        assert [(each.line, each.word) for each in found.refused] == [(4, verdict.split()[0])]
    found = read(ruleset("tcp dport 22 meta mark set 2 accept", "meta mark set 1"))
    assert [(each.line, each.word) for each in found.refused] == [(4, "accept")]


@pytest.mark.parametrize(
    ("family", "hook", "word"),
    [
        ("inet", "", "mark"),
        ("inet", "filter hook input", "mark"),
        ("inet", "nat hook prerouting", "mark"),
        ("netdev", "filter hook ingress", "netdev"),
        ("bridge", "filter hook prerouting", "bridge"),
    ],
)
def test_marks_elsewhere_are_refused(family: str, hook: str, word: str) -> None:
    found = read(ruleset("meta mark set 1", family=family, hook=hook))
    assert [(each.line, each.word) for each in found.refused] == [(4, word)]


def test_the_rest_of_a_ruleset_is_passed_over() -> None:
    text = """# Warning: table ip nat is managed by iptables-nft, do not touch!
table inet filter {
	flowtable f {
		hook ingress priority filter
		devices = { eth0 }
	}

	set vips {
		type ipv4_addr
		flags interval
		elements = { 10.0.0.1,
			10.0.0.2 }
	}

	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		tcp dport { 22, 80 } accept
	}
}
table ip old {
	flags dormant;
	chain pre {
		type filter hook prerouting priority mangle; policy accept;
		meta mark set 1
	}
}
"""
    assert taken(text) == []


@pytest.mark.parametrize(
    "text",
    ["table inet x {", "table {", "table ip x { chain y {\n", "table ip x }", "table x { }}"],
)
def test_broken_text_is_refused(text: str) -> None:
    assert read(text).refused


WORDS = (
    "table chain inet ip ip6 { } { } ; \n type filter hook prerouting priority mangle + 5 daddr "
    "saddr 10.0.0.1 fd00::1 10.0.0.9-10.0.0.1 tcp udp th dport 80 8-9 9-8 , meta mark set 1 0x and "
    'or xor l4proto nfproto ipv4 counter packets comment "x" " # != @v accept jump xt vmap : ct'
)
FRAGMENTS = st.sampled_from(WORDS.split(" "))


@given(st.lists(FRAGMENTS | st.text(max_size=3), max_size=40).map(" ".join), st.booleans())
def test_no_text_crashes_it(text: str, whole: bool) -> None:
    found = read(f"table {text}" if whole else ruleset(text))
    assert all(each.line >= 1 and each.why for each in found.refused)
