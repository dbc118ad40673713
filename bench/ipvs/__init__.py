# SPDX-License-Identifier: Apache-2.0
"""Instructions per packet, beside the kernel's IPVS. Run by script/bench-ipvs."""
