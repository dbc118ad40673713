# SPDX-License-Identifier: Apache-2.0
"""libbpf 1.x (and the two libc calls that pins need) as Python functions.

The only package that uses ctypes. Every function raises OSError with the
kernel's errno; ``problems`` turns that into a sentence. Not thread-safe where
libbpf is not: load objects from one thread.
"""

from __future__ import annotations

from xlvs.datapath.libbpf.calls import (
    SONAME,
    captured_log,
    possible_cpus,
)
from xlvs.datapath.libbpf.files import (
    enter_network,
    get,
    info,
    is_bpffs,
    mount_bpffs,
    pin,
    program_by_id,
)
from xlvs.datapath.libbpf.hooks import (
    CGROUP_INET4_GETPEERNAME,
    CGROUP_INET6_GETPEERNAME,
    CGROUP_SOCK_OPS,
    TC_EGRESS,
    TC_INGRESS,
    XDP_FLAGS_DRV_MODE,
    XDP_FLAGS_SKB_MODE,
    cgroup_link,
    iterate,
    link_detach,
    link_update,
    tc_attach,
    tc_detach,
    tc_hook_create,
    tc_hook_destroy,
    tc_query,
    tcx_link,
    xdp_link,
    xdp_query,
)
from xlvs.datapath.libbpf.maps import (
    BPF_ANY,
    BPF_F_MMAPABLE,
    BPF_MAP_TYPE_ARRAY,
    BPF_MAP_TYPE_ARRAY_OF_MAPS,
    BPF_NOEXIST,
    map_by_id,
    map_create,
    map_delete,
    map_delete_batch,
    map_lookup,
    map_lookup_batch,
    map_update,
    map_update_batch,
)
from xlvs.datapath.libbpf.objects import (
    MapDefinition,
    Object,
)
from xlvs.datapath.libbpf.runs import (
    RingBuffer,
    TestRun,
    test_run,
)

__all__ = [
    "BPF_ANY",
    "BPF_F_MMAPABLE",
    "BPF_MAP_TYPE_ARRAY",
    "BPF_MAP_TYPE_ARRAY_OF_MAPS",
    "BPF_NOEXIST",
    "CGROUP_INET4_GETPEERNAME",
    "CGROUP_INET6_GETPEERNAME",
    "CGROUP_SOCK_OPS",
    "SONAME",
    "TC_EGRESS",
    "TC_INGRESS",
    "XDP_FLAGS_DRV_MODE",
    "XDP_FLAGS_SKB_MODE",
    "MapDefinition",
    "Object",
    "RingBuffer",
    "TestRun",
    "captured_log",
    "cgroup_link",
    "enter_network",
    "get",
    "info",
    "is_bpffs",
    "iterate",
    "link_detach",
    "link_update",
    "map_by_id",
    "map_create",
    "map_delete",
    "map_delete_batch",
    "map_lookup",
    "map_lookup_batch",
    "map_update",
    "map_update_batch",
    "mount_bpffs",
    "pin",
    "possible_cpus",
    "program_by_id",
    "tc_attach",
    "tc_detach",
    "tc_hook_create",
    "tc_hook_destroy",
    "tc_query",
    "tcx_link",
    "test_run",
    "xdp_link",
    "xdp_query",
]
