# SPDX-License-Identifier: Apache-2.0
"""Configuration files, text to values. Pure: files, environment and chance are passed in."""
