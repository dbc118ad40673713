# SPDX-License-Identifier: Apache-2.0
"""Protocols without input or output: bytes, events and ``now`` in, effects and deadlines out."""
