# SPDX-License-Identifier: Apache-2.0
"""End to end: requests and packets through whole networks. Run by script/bench-e2e."""
