# SPDX-License-Identifier: Apache-2.0
"""Connection sync as IPVS does it: multicast, no answers, no bulk transfer."""
