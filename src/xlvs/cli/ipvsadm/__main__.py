# SPDX-License-Identifier: Apache-2.0
"""``python -m xlvs.cli.ipvsadm``."""

from __future__ import annotations

import sys

from xlvs.cli.ipvsadm.main import main

if __name__ == "__main__":
    sys.exit(main())
