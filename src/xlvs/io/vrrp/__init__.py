# SPDX-License-Identifier: Apache-2.0
"""VRRP's sockets, addresses and announcements; the process that does nothing else."""
