# SPDX-License-Identifier: Apache-2.0
"""The commands: ipvsadm and xlvs."""
