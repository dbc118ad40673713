# SPDX-License-Identifier: Apache-2.0
"""Settings: the kernel's net.ipv4.vs.*, and ours, net.xlvs.*.

Names, defaults and ranges of the kernel's are those of
Documentation/networking/ipvs-sysctl.rst, tried out on Linux 6.1 where that says
nothing: what is a switch there takes any number, and all but 0 is on. Where the
kernel computes a default from the machine's memory it is 0 here.

``Values`` hold what was asked for, by the name without ``net.ipv4.vs.`` or ``net.``;
``current`` adds the defaults, which a profile may change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from xlvs.model.problem import Code, Problem

PREFIX = "net.ipv4.vs."
OWN_PREFIX = "net.xlvs."
_OWN = "xlvs."

PROFILE = "xlvs.profile"
PROFILES = ("ipvs", "modern")
DEFAULT = "default"
"""A value that gives up what was asked for before."""

_INT_MAX = 2**31 - 1
_INT_MIN = -(2**31)
_LONG_MAX = 2**63 - 1
_SWITCH = 1
_MODES = 3
_SECONDS = _INT_MAX // 100
"""The kernel keeps seconds as ticks in an int: this is its limit at 100 ticks per second."""

_MONTH = 31 * 86400

_CPU_LIST = "est_cpulist"
"""The kernel's only setting that is no number: the CPUs of its estimating threads."""

Values = Mapping[str, tuple[int, ...]]

_SYNC = "stored, and without effect: it does not decide when connections are synchronised"


class Setting(NamedTuple):
    """One setting. ``remark``: why it has no effect, empty if it has one.

    ``words``: what values are called that have names; their numbers are their places.
    """

    default: tuple[int, ...]
    low: int = _INT_MIN
    high: int = _INT_MAX
    remark: str = ""
    words: tuple[str, ...] = ()

    @property
    def numbers(self) -> int:
        """How many numbers one value has."""
        return len(self.default)


SETTINGS: dict[str, Setting] = {
    "am_droprate": Setting((10,)),
    "amemthresh": Setting((1024,)),
    "backup_only": Setting((0,), remark="a backup balances what reaches it, as any director"),
    "cache_bypass": Setting((0,)),
    "conn_lfactor": Setting(
        (-4,), -8, 8, "the connection table does not grow: its size is xlvsd's --table-size"
    ),
    "conn_reuse_mode": Setting((1,)),
    "conntrack": Setting((0,), remark="balanced packets do not meet netfilter's tracking"),
    "debug_level": Setting((0,), remark="no debug messages: xlvs status counts packets by reason"),
    "drop_entry": Setting((0,), 0, _MODES),
    "drop_packet": Setting((0,), 0, _MODES),
    "est_nice": Setting(
        (0,), -20, 19, "no thread of its own estimates rates: xlvsd does, with its priority"
    ),
    "expire_nodest_conn": Setting((0,)),
    "expire_quiescent_template": Setting((0,)),
    "ignore_tunneled": Setting(
        (0,), remark="packets of other protocols are passed and never looked at a second time"
    ),
    "lblc_expiration": Setting((86400,), -_SECONDS, _SECONDS),
    "lblcr_expiration": Setting((86400,), -_SECONDS, _SECONDS),
    "nat_icmp_send": Setting((0,)),
    "pmtu_disc": Setting((1,)),
    "run_estimation": Setting((1,), remark="rates are always estimated: no packet pays for it"),
    "schedule_icmp": Setting((0,)),
    "secure_tcp": Setting((0,), 0, _MODES),
    "sloppy_sctp": Setting((0,)),
    "sloppy_tcp": Setting((0,)),
    "snat_reroute": Setting((1,)),
    "svc_lfactor": Setting((-3,), -8, 8, "services are found at once however many there are"),
    "sync_persist_mode": Setting((0,), remark=_SYNC),
    "sync_ports": Setting((1,), 1),
    "sync_qlen_max": Setting((0,), 0, _LONG_MAX),
    "sync_refresh_period": Setting((0,), -_SECONDS, _SECONDS, _SYNC),
    "sync_retries": Setting((0,), 0, _MODES, _SYNC),
    "sync_sock_size": Setting((0,)),
    "sync_threshold": Setting((3, 50), 0, remark=_SYNC),
    "sync_version": Setting((1,), 0, 1),
    PROFILE: Setting((0,), 0, len(PROFILES) - 1, words=PROFILES),
    "xlvs.drain_seconds": Setting((0,), 0, _MONTH),
    "xlvs.hash_fallback": Setting((0,), 0, _SWITCH),
    "xlvs.icmp_answers_per_second": Setting((1000,), 0),
    "xlvs.local_ports_warning": Setting((80,), 1, 100),
    "xlvs.reschedule": Setting((0,), 0, _SWITCH),
    "xlvs.reset": Setting((0,), 0, _SWITCH),
    "xlvs.toa_kind": Setting((254,), 252, 254),
}
"""By the name without its prefix.

Ours: ``drain_seconds`` is how long a drain lasts that does not say it (0: for ever);
``hash_fallback`` gives every mh and sh service the flag mh-fallback or sh-fallback;
``icmp_answers_per_second`` limits ICMP errors of ours for each CPU (0: no limit);
``local_ports_warning``: from how many per cent of FULLNAT's local ports towards a real server
on it is a problem; ``reset`` ends TCP connections of a removed server with a RST;
``reschedule`` sends its UDP clients to another server; ``toa_kind`` is the kind of the TCP option
that tells FULLNAT's real servers the client's address.
"""

_PROFILE_DEFAULTS: dict[str, Values] = {
    "ipvs": {},
    "modern": {
        # A SYN on ports whose connection the client has closed begins a new one at once,
        # also where the director does not see the server close (DR and TUN).
        "conn_reuse_mode": (3,),
        "xlvs.drain_seconds": (300,),
        # Clients of a server of weight 0 are not refused while others can serve them.
        "xlvs.hash_fallback": (1,),
        "xlvs.reschedule": (1,),
        "xlvs.reset": (1,),
    },
}

_NUMBER = re.compile(r"-?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)", re.ASCII)
"""As the kernel reads them: no plus sign, a leading 0 is octal."""

_DIGITS_MAX = 30


def profile(values: Values) -> str:
    """The profile's name."""
    return PROFILES[values.get(PROFILE, SETTINGS[PROFILE].default)[0]]


def defaults(values: Values) -> dict[str, tuple[int, ...]]:
    """What settings are that nobody asked for, in the profile that was asked for."""
    plain = {key: setting.default for key, setting in SETTINGS.items()}
    return {**plain, **_PROFILE_DEFAULTS[profile(values)]}


def current(values: Values) -> dict[str, tuple[int, ...]]:
    """Every setting."""
    return {**defaults(values), **values}


def numbers(values: Values) -> dict[str, int]:
    """Every setting that has one number."""
    return {key: value[0] for key, value in current(values).items() if len(value) == 1}


def full_name(key: str) -> str:
    """The name with its prefix."""
    return f"net.{key}" if key.startswith(_OWN) else PREFIX + key


def text(key: str, value: tuple[int, ...]) -> str:
    """A value as it is written."""
    words = SETTINGS[key].words
    return words[value[0]] if words else " ".join(map(str, value))


def find(name: str) -> str:
    """The key of a setting's name, in sysctl's spellings. Raises Problem."""
    plain = name.strip().replace("/", ".")
    if plain.startswith(OWN_PREFIX):
        key = plain.removeprefix("net.")
    else:
        key = plain.removeprefix(PREFIX)
        if key.startswith(_OWN):
            key = ""  # ours are not IPVS's
    if key == _CPU_LIST:
        raise Problem(Code.NOT_SUPPORTED, f"{plain} is for threads that xlvs does not have", name)
    if key not in SETTINGS:
        raise Problem(Code.INVALID, f"there is no setting {plain or repr(name)}", name)
    return key


def split(assignment: str) -> tuple[str, str]:
    """Name and value of ``NAME=VALUE``. Raises Problem."""
    name, equals, value = assignment.partition("=")
    name = name.strip()
    if not equals:
        raise Problem(Code.INVALID, f"a setting is {PREFIX}KEY=VALUE, not {assignment!r}", name)
    return name, value


def changed(values: Values, wanted: Iterable[tuple[str, str]]) -> Values:
    """The values after names were given others; of the same name the last counts.

    ``default`` gives up what was asked for. Raises Problem, and nothing has changed.
    """
    found = dict(values)
    for name, value in wanted:
        key = find(name)
        if value.strip() == DEFAULT:
            found.pop(key, None)
        else:
            found[key] = _value(key, value, current(found)[key])
    return found


def _value(key: str, value: str, now: tuple[int, ...]) -> tuple[int, ...]:
    setting, name = SETTINGS[key], full_name(key)
    words = value.split()
    if setting.words:
        if len(words) != 1 or words[0] not in setting.words:
            choices = " or ".join(setting.words)
            raise Problem(Code.INVALID, f"{name} must be {choices}, not {value!r}", name)
        return (setting.words.index(words[0]),)
    found = tuple(map(_number, filter(_NUMBER.fullmatch, words)))
    if len(found) < len(words) or not 1 <= len(found) <= setting.numbers:
        wanted = "a whole number" if setting.numbers == 1 else f"{setting.numbers} whole numbers"
        raise Problem(Code.INVALID, f"{name} wants {wanted}, not {value!r}", name)
    if not all(setting.low <= number <= setting.high for number in found):
        raise Problem(
            Code.OUT_OF_RANGE, f"{name} must be {setting.low} to {setting.high}, not {value}", name
        )
    # Fewer numbers than there are leave the others as they are, as with sysctl.
    found += now[len(found) :]
    _check(key, found)
    return found


def _number(word: str) -> int:
    sign, digits = (-1, word[1:]) if word.startswith("-") else (1, word)
    if len(digits) > _DIGITS_MAX:
        return sign * _LONG_MAX * 2  # beyond every range; Python refuses very long numbers
    if digits[:2].lower() == "0x":
        return sign * int(digits, 16)
    return sign * int(digits, 8 if digits.startswith("0") else 10)


def _check(key: str, value: tuple[int, ...]) -> None:
    """What a range does not say."""
    name = full_name(key)
    if key == "sync_ports" and value[0] & (value[0] - 1):
        raise Problem(Code.OUT_OF_RANGE, f"{name} must be a power of two, not {value[0]}", name)
    if key == "sync_threshold" and value[1] and value[0] >= value[1]:
        raise Problem(
            Code.OUT_OF_RANGE,
            f"{name}: the first number must be below the second (or that 0), "
            f"not {value[0]} {value[1]}",
            name,
        )


def known(values: Values) -> Values:
    """Those of the values that there are: others are of another version of xlvs."""
    return {
        key: value
        for key, value in values.items()
        if key in SETTINGS and len(value) == SETTINGS[key].numbers
    }


def warnings(values: Values) -> list[str]:
    """Settings that differ from their defaults and have no effect."""
    plain = defaults(values)
    return [
        f"{full_name(key)} has no effect: {SETTINGS[key].remark}"
        for key, value in sorted(values.items())
        if SETTINGS[key].remark and value != plain[key]
    ]
