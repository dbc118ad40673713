# SPDX-License-Identifier: Apache-2.0
"""What Prometheus reads: one catalogue, values of one director, and their text."""
