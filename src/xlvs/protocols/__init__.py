# SPDX-License-Identifier: Apache-2.0
"""Cores of protocols without input or output: bytes, events and the time in, effects out."""
