# SPDX-License-Identifier: Apache-2.0
"""What health checks say on the wire, and what they make of the answers."""
