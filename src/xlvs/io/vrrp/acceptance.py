# SPDX-License-Identifier: Apache-2.0
"""``no_accept``: a master that only routes drops what is addressed to its virtual addresses.

RFC 9568 8.2.2, 8.3.2: neighbour discovery has to be answered nevertheless.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable

from xlvs.model.service import Address

TABLE = "xlvs_vrrp"

_PATIENCE = 10.0


def rules(addresses: Iterable[Address]) -> str:
    """What nft is given: the whole table anew, in one transaction; without addresses: none."""
    both = sorted(addresses, key=lambda one: (one.version, int(one)))
    lines = [f"table inet {TABLE}", f"delete table inet {TABLE}"]
    if not both:
        return "\n".join(lines) + "\n"
    drops = [f"{'ip6' if one.version != 4 else 'ip'} daddr {one} drop" for one in both]  # noqa: PLR2004
    lines += [
        f"table inet {TABLE} {{",
        "chain input {",
        "type filter hook input priority filter; policy accept;",
        "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
        *drops,
        "}",
        "}",
    ]
    return "\n".join(lines) + "\n"


def apply(addresses: Iterable[Address]) -> str:
    """Drop what goes to these; returns what is wrong, "": nothing. May block."""
    try:
        done = subprocess.run(
            ["nft", "-f", "-"],  # noqa: S607  # from PATH, as for an operator
            input=rules(addresses),
            text=True,
            capture_output=True,
            check=False,
            timeout=_PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no_accept needs nft: {error}"
    if done.returncode:
        return f"no_accept: nft: {done.stderr.strip().splitlines()[0]}"
    return ""
