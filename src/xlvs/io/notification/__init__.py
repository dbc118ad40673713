# SPDX-License-Identifier: Apache-2.0
"""Telling others what happened: programs that are run, FIFOs, mail."""
