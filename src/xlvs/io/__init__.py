# SPDX-License-Identifier: Apache-2.0
"""The control plane's side of the world: netlink, maps, files, clocks."""
