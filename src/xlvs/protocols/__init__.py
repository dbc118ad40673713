# SPDX-License-Identifier: Apache-2.0
"""Protocols without sockets or clocks: bytes and events in, bytes and events out."""
