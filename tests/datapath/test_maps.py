# SPDX-License-Identifier: Apache-2.0
"""Maps as Python sees them."""

from __future__ import annotations

import pytest

from xlvs.datapath import libbpf
from xlvs.datapath.libbpf import RingBuffer
from xlvs.datapath.loader import DataPath
from xlvs.datapath.records import Interface, Line4, ServiceKey


def test_array(shared_path: DataPath) -> None:
    services = shared_path.map("services")
    value = b"\5" * services.info.value_size
    services.update(63, value)
    assert services.lookup(63) == value
    assert services.lookup((63).to_bytes(4, "little")) == value
    assert services.lookup(64) is None
    with pytest.raises(OSError, match="Argument list too long"):
        services.update(64, value)
    assert services.clear() == 64
    assert services.lookup(63) == bytes(len(value))


def test_hash(shared_path: DataPath) -> None:
    keys, layout = shared_path.map("services_by_key"), shared_path.layout
    pairs = [(layout.pack(ServiceKey(port=i)), i.to_bytes(4, "little")) for i in range(60)]
    assert keys.update_many(pairs) == 60
    assert sorted(keys.items()) == sorted(pairs)
    assert keys.delete(pairs[0][0])
    assert not keys.delete(pairs[0][0])
    assert keys.lookup(pairs[0][0]) is None
    with pytest.raises(FileExistsError):
        keys.update(*pairs[1], flags=libbpf.BPF_NOEXIST)
    assert keys.clear() == 59
    assert list(keys.items()) == []


def test_small_hash(shared_path: DataPath) -> None:
    interfaces = shared_path.map("interfaces")
    value = shared_path.layout.pack(Interface(mtu=1500))
    interfaces.update(4, value)
    assert list(interfaces.items()) == [((4).to_bytes(4, "little"), value)]


def test_percpu(shared_path: DataPath) -> None:
    stats = shared_path.map("service_stats")
    value = bytes(range(stats.info.value_size))
    stats.update(3, value)
    assert stats.lookup_percpu(3) == [value] * libbpf.possible_cpus()
    everything = dict(stats.items_percpu())
    assert len(everything) == 64
    assert everything[(3).to_bytes(4, "little")] == [value] * libbpf.possible_cpus()
    assert stats.clear() == 64
    assert stats.lookup_percpu(3) == [bytes(len(value))] * libbpf.possible_cpus()


def test_values_of_a_range(shared_path: DataPath) -> None:
    services, size = shared_path.map("services"), shared_path.map("services").info.value_size
    for index in (0, 7, 8, 63):
        services.update(index, bytes([index]) * size)
    every = b"".join(value for _, value in services.items())
    for first, count in ((0, 64), (0, 1), (7, 2), (8, 1), (60, 100), (63, 1)):
        assert services.values(first, count) == every[first * size : (first + count) * size]
    assert services.values(64, 1) == services.values(3, 0) == b""
    stats = shared_path.map("service_stats")
    value = bytes(range(stats.info.value_size))
    stats.update(5, value)
    assert stats.values(5, 1) == b"".join(stats.lookup_percpu(5))
    stats.clear()
    services.clear()


@pytest.mark.parametrize(
    "name",
    [
        "connections4",
        "connections6",
        "addresses",
        "table",
        "local_ports",
        "destination_load",
        "schedules",
    ],
)
def test_memory_views(shared_path: DataPath, name: str) -> None:
    found = shared_path.map(name)
    view = found.view(writable=True)
    last = found.info.max_entries - 1
    value = b"\7" * found.info.value_size
    found.update(last, value)
    at = last * found.stride
    assert view[at : at + len(value)] == value
    view[at : at + len(value)] = bytes(len(value))
    assert found.lookup(last) == bytes(len(value))
    view.release()


def test_a_view_outlives_the_descriptor(data_path: DataPath) -> None:
    codec = data_path.layout.codec(Line4)
    view = data_path.map("connections4").view()
    data_path.close()
    assert codec.unpack(view, 5 * codec.size) == Line4()
    with pytest.raises(TypeError):
        view[0] = 1
    view.release()


def test_the_ring_buffer_begins_empty(shared_path: DataPath) -> None:
    ring = RingBuffer(shared_path.map("events").fd)
    assert ring.fileno() >= 0
    assert ring.read() == []
    ring.close()
    ring.close()


def test_no_such_map(shared_path: DataPath) -> None:
    with pytest.raises(KeyError):
        shared_path.map("nothing")
