# SPDX-License-Identifier: Apache-2.0
"""From the changes on the way, by name, to the same by id. Pure."""

from __future__ import annotations

from xlvs.datapath.addresses import packed
from xlvs.datapath.effective import Effective, service_key
from xlvs.datapath.history import Changes
from xlvs.datapath.plan import Renewal
from xlvs.datapath.tables import Have


def renewal(want: Effective, have: Have, changes: Changes) -> Renewal:
    """What ``plan.diff`` must know of the way from ``have`` to ``want``."""
    ids = want.service_ids
    deleted = set()
    if changes.deleted:
        places = {
            (d.service, d.address, d.port): id_ for id_, d in have.tables.destinations.items()
        }
        for service, keys in changes.deleted.items():
            owner = have.tables.keys.get(service_key(service))
            for key in keys:
                found = (
                    places.get((owner, packed(key.address), key.port))
                    if owner is not None
                    else None
                )
                if found is not None:
                    deleted.add(found)
    return Renewal(
        weights={ids[key]: numbers for key, numbers in changes.weights.items() if key in ids},
        begun=frozenset(ids[key] for key in changes.begun if key in ids),
        rebound=frozenset(ids[key] for key in changes.rebound if key in ids),
        deleted=frozenset(deleted),
    )
