# SPDX-License-Identifier: Apache-2.0
"""What would happen to a packet: a frame is made, run over the live maps, and told about."""
