# SPDX-License-Identifier: Apache-2.0
"""``keepalived.conf``: text -> lines -> tree -> ``xlvs.model.configuration.Configuration``."""
