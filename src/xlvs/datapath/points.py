# SPDX-License-Identifier: Apache-2.0
"""The two places of TC on an interface: what they are called, what of ours runs there."""

from __future__ import annotations

from xlvs.datapath.libbpf import TC_EGRESS, TC_INGRESS
from xlvs.datapath.programs import EGRESS_PROGRAM, INGRESS_PROGRAM

POINTS = (TC_INGRESS, TC_EGRESS)
SIDES = {TC_INGRESS: "ingress", TC_EGRESS: "egress"}
PROGRAMS = {TC_INGRESS: INGRESS_PROGRAM, TC_EGRESS: EGRESS_PROGRAM}
