# SPDX-License-Identifier: Apache-2.0
"""VRRP versions 2 (RFC 3768) and 3 (RFC 9568), as keepalived speaks it."""
