# SPDX-License-Identifier: Apache-2.0
"""Replays of what the real kernel IPVS was seen to do (``facts/``) against xlvs."""
