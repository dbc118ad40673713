# SPDX-License-Identifier: Apache-2.0
"""What to do, as values: settings, hooks, estimates. Pure."""
