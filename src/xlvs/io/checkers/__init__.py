# SPDX-License-Identifier: Apache-2.0
"""Probes of real servers: what the cores in ``xlvs.protocols.checks`` say, over sockets."""
