# SPDX-License-Identifier: Apache-2.0
"""Which real servers are in rotation: checks, dampening, quorum, notifications. Pure."""
