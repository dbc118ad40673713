# SPDX-License-Identifier: Apache-2.0
"""What health checks cost."""
