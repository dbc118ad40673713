# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: what a packet costs. Run by script/bench."""
