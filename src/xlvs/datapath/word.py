# SPDX-License-Identifier: Apache-2.0
"""The parts of a connection's word and time, as who reads many of them takes them apart.

``word >> CONNECTION_PROTOCOL_SHIFT & PROTOCOLS`` is a ``Transport``, ``word >>
CONNECTION_METHOD_SHIFT & METHODS`` a ``Method``, and ``expires - now & TICKS`` the ticks
left: 0, or ``HALF`` and more, of what is over.
"""

from __future__ import annotations

from xlvs.datapath.records import CONNECTION_GENERATION_SHIFT, Method, State

TICKS = 0xFFFFFFFF
HALF = 1 << 31
PROTOCOLS = 7
METHODS = len(Method) - 1
GENERATION = TICKS >> CONNECTION_GENERATION_SHIFT << CONNECTION_GENERATION_SHIFT
"""Bits of the word that tell a place's tenants apart."""
CLOSED = frozenset({State.RESET, State.RESET_CLIENT, State.RESET_SERVER})
"""States of TCP that an operator has closed, whoever knows it."""
