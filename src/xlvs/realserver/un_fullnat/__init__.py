# SPDX-License-Identifier: Apache-2.0
"""FULLNAT taken back at the real server: its whole kernel sees the client.

``wanted`` marks, routes and settings; ``programs`` the eBPF programs at TC; ``routing`` the
rule, the routes and the neighbour that answers follow; ``change`` up and down; ``findings``
what is wrong, in words.
"""
