# SPDX-License-Identifier: Apache-2.0
"""``lvs_sync_daemon``, and ``connection_sync``, which is ours: sync between two directors."""

from __future__ import annotations

from xlvs.config.keepalived.authentication import secret
from xlvs.config.keepalived.places import Wrong
from xlvs.config.keepalived.reading import Reading
from xlvs.config.keepalived.table import Keyword, Values, read_block, table, value
from xlvs.config.keepalived.tree import Node
from xlvs.config.keepalived.values import (
    address,
    interface_name,
    number,
    plain_address,
    port,
    text,
    word,
)
from xlvs.model.service import Address
from xlvs.model.syncing import Peer, SyncDaemon

LENGTH_MAX = 65535 - 20 - 8

_NUMBERS = {
    "id": ("sync_id", number(0, 255)),
    "maxlen": ("max_length", number(1, LENGTH_MAX)),
    "port": ("port", number(1, 65535)),
    "ttl": ("ttl", number(1, 255)),
}


def _daemon(reading: Reading, node: Node, _: Values) -> None:
    words = node.words
    if reading.sync:
        raise Wrong(f"there is a sync daemon already, at {reading.sync_place}")
    found: Values = {"interface": interface_name(words, 1)}
    index = 2
    while index < len(words):
        name = words[index]
        if name in _NUMBERS:
            field, parse = _NUMBERS[name]
            found[field] = parse([name, *words[1:]], index + 1)
        elif name == "group":
            found["group"] = _multicast(word(words, index + 1, "a multicast address"), index + 1)
        elif name == "inst":
            found["instance"] = word(words, index + 1, "the name of an instance")
            reading.refer("vrrp_instance", words[index + 1], node.place(index + 1), words[0])
        elif index == 2:  # noqa: PLR2004  # the word after the interface
            found["instance"] = name
            reading.refer("vrrp_instance", name, node.place(index), words[0])
            index += 1
            # Before 1.2.20 the sync id stood here without a word before it.
            if index < len(words) and words[index].isdecimal():
                found["sync_id"] = number(0, 255)(words, index)
                index += 1
            continue
        else:
            raise Wrong(
                f"lvs_sync_daemon has inst, {', '.join(_NUMBERS)}, group, not {name!r}", index
            )
        index += 2
    reading.sync.update(found)
    reading.sync_place = node.place()


def _multicast(found: str, index: int) -> Address:
    group = plain_address(found, index)
    if not group.is_multicast:
        raise Wrong(f"{group} is no multicast address", index)
    return group


SYNC_DAEMON = Keyword(
    "lvs_sync_daemon",
    _daemon,
    "INTERFACE [[inst] INSTANCE] [id N] [maxlen N] [port N] [ttl N] [group ADDRESS]",
)


def _key(reading: Reading, node: Node, values: Values) -> None:
    if "key" in values:
        raise Wrong("a peer has one key")
    values["key"] = secret(reading, node.words, 1)


def _key_file(reading: Reading, node: Node, values: Values) -> None:
    if "key" in values:
        raise Wrong("a peer has one key")
    values["key"] = secret(reading, ["", f"file:{word(node.words, 1, 'the path of a file')}"], 1)


_PEER = table(
    "peer",
    value("port", port, "1..65535"),
    Keyword("key", _key, "hex:DIGITS|TEXT", note="32 to 64 bytes"),
    Keyword("key_file", _key_file, "PATH", note="32 to 64 bytes, or hex:DIGITS"),
    note="Ours: in `connection_sync`.",
)


def _peer(reading: Reading, node: Node, values: Values) -> None:
    where = address(node.words, 1)
    found = read_block(reading, node, _PEER, {"address": where})
    if "key" not in found:
        raise Wrong(f"the peer {where} has no key: key or key_file")
    peers = values.setdefault("peers", ())
    if any(each.address == where for each in peers):
        raise Wrong(f"the peer {where} is there twice", 1)
    values["peers"] = (*peers, Peer(**found))


def _instance(reading: Reading, node: Node, values: Values) -> None:
    values["instance"] = text("the name of an instance")(node.words, 1)
    reading.refer("vrrp_instance", node.words[1], node.place(1), "connection_sync")


def _listen(_reading: Reading, node: Node, values: Values) -> None:
    values["listen"] = address(node.words, 1)
    if len(node.words) > 2:  # noqa: PLR2004  # keyword, address, port
        values["listen_port"] = port(node.words, 2)


_SYNC = table(
    "connection_sync",
    value("interface", interface_name, "INTERFACE"),
    Keyword("listen", _listen, "ADDRESS [PORT]", note="where peers find this director"),
    Keyword("instance", _instance, "INSTANCE"),
    Keyword("peer", _peer, "ADDRESS", block=True),
    note="Ours: sync between two xlvs directors.",
)


def read_sync(reading: Reading, node: Node, _: Values) -> None:
    """``connection_sync {…}``. With ``lvs_sync_daemon`` beside it, both hold."""
    found = read_block(reading, node, _SYNC, {})
    if "peers" in reading.sync:
        raise Wrong("there is another connection_sync")
    if not found.get("peers"):
        raise Wrong("connection_sync has no peer")
    for name, each in found.items():
        if reading.sync.setdefault(name, each) != each:
            raise Wrong(f"connection_sync and lvs_sync_daemon have two different {name}s")
    reading.sync_place = reading.sync_place or node.place()


def sync_daemon(reading: Reading) -> SyncDaemon | None:
    """The sync daemon as wanted; without an instance it is master and backup at once."""
    found = reading.sync
    if not found:
        return None
    if "instance" in found:
        ids = {each.name: each.router_id for each in reading.instances}
        found.setdefault("sync_id", ids.get(found["instance"], 0))
        return SyncDaemon(**found)
    return SyncDaemon(**found, master=True, backup=True)
