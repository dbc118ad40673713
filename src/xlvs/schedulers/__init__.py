# SPDX-License-Identifier: Apache-2.0
"""What schedulers need beforehand and packets only look up. Pure."""
