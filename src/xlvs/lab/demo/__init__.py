# SPDX-License-Identifier: Apache-2.0
"""``xlvs demo``: the main job, shown on real traffic."""
