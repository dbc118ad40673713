# SPDX-License-Identifier: Apache-2.0
"""``vrrp_script``, ``track_file``, ``track_process``, ``bfd_instance``, ``track_group``."""

from __future__ import annotations

from xlvs.config.keepalived.commands import command, user_and_group, warn_of_shell
from xlvs.config.keepalived.lines import split_quoted
from xlvs.config.keepalived.places import Wrong
from xlvs.config.keepalived.reading import Reading
from xlvs.config.keepalived.table import (
    Keyword,
    Values,
    also,
    flag,
    no_effect,
    read_block,
    table,
    value,
    words,
)
from xlvs.config.keepalived.tree import Node
from xlvs.config.keepalived.values import (
    INT_MAX,
    address,
    boolean,
    choice,
    decimal,
    number,
    text,
    timer,
)
from xlvs.model.tracking import Bfd, File, Process, Script, TrackGroup

SCRIPT_WEIGHT = 253
OTHER_WEIGHT = 254
"""Greatest weights: a priority moves between 1 and 254 (track_file, track_process)."""

_MILLISECONDS_MAX = 4294967.0


def weight_and_reverse(most: int, into: str = "weight") -> Keyword:
    """``weight N [reverse|noreverse]``."""
    parse = number(-most, most)

    def read(_reading: Reading, node: Node, values: Values) -> None:
        values[into] = parse(node.words, 1)
        values["reverse"] = False
        for index, word in enumerate(node.words[2:], 2):
            if word not in ("reverse", "noreverse", "no_reverse"):
                raise Wrong(f"after a weight comes reverse or noreverse, not {word!r}", index)
            values["reverse"] = word == "reverse"

    return Keyword("weight", read, f"{-most}..{most} [reverse|noreverse]")


def name_of(node: Node, what: str) -> str:
    """The one name that a block's keyword has after it. Raises Wrong."""
    if len(node.words) <= 1 or not node.words[1]:
        raise Wrong(f"{node.words[0]} wants {what}", 1)
    if len(node.words) > 2:  # noqa: PLR2004  # keyword and name
        raise Wrong(f"{node.words[0]} wants {what}, one word", 2)
    return node.words[1]


# ---- vrrp_script


def _script(reading: Reading, node: Node, values: Values) -> None:
    values["command"] = command(node)
    warn_of_shell(reading, node, values["command"])


_SCRIPT = table(
    "vrrp_script",
    Keyword("script", _script, "COMMAND [USER [GROUP]]"),
    value("interval", timer(0.001), "seconds"),
    value("timeout", timer(), "seconds", note="0 or nothing: the interval"),
    weight_and_reverse(SCRIPT_WEIGHT),
    value("rise", number(1, INT_MAX), "1.."),
    value("fall", number(1, INT_MAX), "1.."),
    words("user", user_and_group, "USER [GROUP]"),
    flag("init_fail"),
)


def read_script(reading: Reading, node: Node, _: Values) -> None:
    """``vrrp_script NAME {…}``."""
    name = name_of(node, "the name of a script")
    values = read_block(reading, node, _SCRIPT, {})
    if not reading.once("vrrp_script", node, name):
        return
    if "command" not in values:
        raise Wrong(f"vrrp_script {name} has no script")
    user, group = values.pop("user", ("", ""))
    made = values["command"]
    if user and not made.user:
        values["command"] = type(made)(argv=made.argv, user=user, group=group)
    reading.scripts.append(Script(name=name, **values))


# ---- track_file


def _init_file(_reading: Reading, node: Node, values: Values) -> None:
    values["initial"] = 0
    for index, word in enumerate(node.words[1:], 1):
        if word == "overwrite":
            values["overwrite"] = True
        else:
            values["initial"] = number(-INT_MAX - 1, INT_MAX)(node.words, index)


_FILE = table(
    "track_file",
    value("file", text("the path of a file"), "PATH", into="path"),
    weight_and_reverse(OTHER_WEIGHT),
    Keyword("init_file", _init_file, "[VALUE] [overwrite]"),
)


def read_file(reading: Reading, node: Node, _: Values) -> None:
    """``track_file NAME {…}``."""
    name = name_of(node, "the name of a file")
    values = read_block(reading, node, _FILE, {})
    if not reading.once("track_file", node, name):
        return
    if "path" not in values:
        raise Wrong(f"track_file {name} has no file")
    reading.files.append(File(name=name, **values))


# ---- track_process


def _process(_reading: Reading, node: Node, values: Values) -> None:
    found = [each.text for each in split_quoted(node.raw)][1:]
    if not found or not found[0]:
        raise Wrong("process wants the name of a program", 1)
    values["program"] = found[0]
    values["arguments"] = tuple(found[1:])


_PROCESS = table(
    "vrrp_track_process",
    Keyword("process", _process, "PROGRAM [ARGUMENT]…"),
    value("param_match", choice({"initial": "initial", "partial": "partial"}), "initial|partial"),
    weight_and_reverse(OTHER_WEIGHT),
    value("quorum", number(1, 65535), "1..65535"),
    value("quorum_max", number(0, 65535), "0..65535"),
    value("fork_delay", timer(0.000001, 3600), "seconds to 3600"),
    value("terminate_delay", timer(0.000001, 3600), "seconds to 3600"),
    value("delay", timer(0.000001, 3600), "seconds to 3600", note="both delays"),
    flag("full_command"),
)


def read_process(reading: Reading, node: Node, _: Values) -> None:
    """``vrrp_track_process NAME {…}``."""
    name = name_of(node, "the name of a process")
    values = read_block(reading, node, _PROCESS, {})
    if not reading.once("vrrp_track_process", node, name):
        return
    if "program" not in values:
        raise Wrong(f"vrrp_track_process {name} has no process")
    delay = values.pop("delay", None)
    if delay is not None:
        values.setdefault("fork_delay", delay)
        values.setdefault("terminate_delay", delay)
    if values["arguments"]:
        values.setdefault("param_match", "exact")
    if values.get("param_match"):
        values["full_command"] = True
    if values.get("quorum_max") is not None and values["quorum_max"] < values.get("quorum", 1):
        # quorum_max 0: the process must not run at all.
        if "quorum" in values or values["quorum_max"]:
            raise Wrong(f"vrrp_track_process {name}: quorum_max is below quorum")
        values["quorum"] = 0
    reading.processes.append(Process(name=name, **values))


# ---- bfd_instance

_BFD = table(
    "bfd_instance",
    also(value("neighbor_ip", address, "ADDRESS", into="neighbour"), "neighbour_ip"),
    value("source_ip", address, "ADDRESS", into="source"),
    value("min_rx", decimal(1, _MILLISECONDS_MAX, "ms", 3), "milliseconds"),
    value("min_tx", decimal(1, _MILLISECONDS_MAX, "ms", 3), "milliseconds"),
    value("idle_tx", decimal(1000, _MILLISECONDS_MAX, "ms", 3), "milliseconds, 1000.."),
    value("multiplier", number(1, 255), "1..255"),
    flag("passive"),
    also(value("ttl", number(1, 255), "1..255"), "hoplimit"),
    value("max_hops", number(-1, 255), "-1..255"),
    value("multihop", boolean, "[BOOL]"),
    weight_and_reverse(SCRIPT_WEIGHT),
    no_effect("vrrp", "whoever tracks a session hears of it"),
    no_effect("checker", "whoever tracks a session hears of it"),
)


def read_bfd(reading: Reading, node: Node, _: Values) -> None:
    """``bfd_instance NAME {…}``."""
    name = name_of(node, "the name of a session")
    values = read_block(reading, node, _BFD, {})
    if not reading.once("bfd_instance", node, name):
        return
    if "neighbour" not in values:
        raise Wrong(f"bfd_instance {name} has no neighbor_ip")
    source = values.get("source")
    if source is not None and source.version != values["neighbour"].version:
        raise Wrong(f"bfd_instance {name}: source_ip and neighbor_ip are of two families")
    reading.bfds.append(Bfd(name=name, **values))


# ---- track_group


def _members(_reading: Reading, node: Node, values: Values) -> None:
    found = [word for child in node for word in child.words]
    values["instances"] = (*values.get("instances", ()), *found)
    values.setdefault("nodes", []).extend(
        (word, child.place(index)) for child in node for index, word in enumerate(child.words)
    )


_GROUP = table("track_group", Keyword("group", _members, "names of instances", block=True))


def read_track_group(reading: Reading, node: Node, _: Values) -> None:
    """``track_group NAME { group {…} }``."""
    name = name_of(node, "the name of a group")
    values = read_block(reading, node, _GROUP, {})
    if not reading.once("track_group", node, name):
        return
    for member, place in values.pop("nodes", ()):
        reading.refer("vrrp_instance", member, place, f"track_group {name}")
    reading.track_groups.append(TrackGroup(name=name, **values))
