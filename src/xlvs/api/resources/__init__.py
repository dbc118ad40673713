# SPDX-License-Identifier: Apache-2.0
"""What there is to read and to change, a file each."""
