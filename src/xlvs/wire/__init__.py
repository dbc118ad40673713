# SPDX-License-Identifier: Apache-2.0
"""The JSON of the API. Pure."""
