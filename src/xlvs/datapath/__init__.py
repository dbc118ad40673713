# SPDX-License-Identifier: Apache-2.0
"""Python's side of bpf/: load, attach, plan and write the maps, read them."""
