# SPDX-License-Identifier: Apache-2.0
"""Connection sync's sockets, around the cores in ``xlvs.protocols``."""
