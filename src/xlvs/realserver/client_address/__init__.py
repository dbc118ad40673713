# SPDX-License-Identifier: Apache-2.0
"""A real server's part of FULLNAT: its programs are told the client's address.

``wanted`` whom to believe; ``cgroup`` where the programs are; ``agent`` the eBPF
programs, pinned, so that no process of ours has to live; ``listeners`` that are older
than they; ``findings`` what there is and what is wrong with it, in words.
"""
