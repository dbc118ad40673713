# SPDX-License-Identifier: Apache-2.0
"""BFD's sockets."""
