# SPDX-License-Identifier: Apache-2.0
"""What is wanted, as frozen values, and the edits that change it. Pure."""
