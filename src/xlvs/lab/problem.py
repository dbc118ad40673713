# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in the lab, in one sentence."""

from __future__ import annotations


class LabError(Exception):
    """The lab cannot be built or used; the text says why and what to do."""
