# SPDX-License-Identifier: Apache-2.0
"""Bidirectional forwarding detection: RFC 5880, RFC 5881 (one hop), RFC 5883 (several)."""
