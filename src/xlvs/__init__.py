# SPDX-License-Identifier: Apache-2.0
"""xlvs: the Linux Virtual Server with an eBPF data plane."""
