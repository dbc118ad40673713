# SPDX-License-Identifier: Apache-2.0
"""A run of the estimator looks at every id once, a bounded number at a time."""

from __future__ import annotations

import numpy as np

from xlvs.datapath.records import Destination, DestinationFlag, Service, ServiceFlag
from xlvs.datapath.writes import (
    ClearDestination,
    ClearService,
    PutDestination,
    PutService,
)
from xlvs.io.ledger import AT_ONCE, Ledger
from xlvs.wire.messages import Counters, Rates

MANY = 3 * AT_ONCE + 5
WANTED = Destination(flags=int(DestinationFlag.AVAILABLE), weight=1)


class Counting:
    """Counters of a data path: ``numbers`` connections of every id."""

    def __init__(self):
        self.numbers = 0
        self.asked = []

    def _totals(self, ids):
        self.asked.append(ids)
        totals = np.zeros((len(ids), 5), np.int64)
        totals[:, 0] = self.numbers
        return totals

    service_totals = destination_totals = _totals


def filled():
    ledger = Ledger({0: Counters(connections=1)})
    writes = [ClearService(0), PutService(0, Service(flags=int(ServiceFlag.USED)))]
    writes += [ClearDestination(id_, load=True) for id_ in range(MANY)]
    writes += [PutDestination(id_, WANTED) for id_ in range(MANY)]
    ledger.follow(writes)
    return ledger


def test_a_run_in_parts():
    ledger, port = filled(), Counting()
    port.numbers = 80
    turns = len(list(ledger.run(port)))
    services, *parts = port.asked
    assert list(services) == [0]
    assert turns == 1 + len(parts)
    assert max(map(len, parts)) <= AT_ONCE
    assert [id_ for part in parts for id_ in part] == list(range(MANY))
    assert list(ledger.destinations.last([0, MANY - 1])) == [Counters(connections=80)] * 2
    assert list(ledger.destinations.rates([MANY - 1])) == [Rates(connections=10)]


def test_ids_that_go_take_no_part_and_are_not_looked_for():
    ledger, port = filled(), Counting()
    ledger.follow([PutDestination(id_, Destination()) for id_ in range(10, MANY)])
    ledger.follow([PutDestination(3, WANTED._replace(flags=0))])
    port.numbers = 80
    list(ledger.run(port))
    assert [list(ids) for ids in port.asked] == [[0], list(range(10))]
    assert list(ledger.destinations.last([2, 3])) == [Counters(connections=80), Counters()]


def test_a_new_owner_of_an_id_has_no_baseline():
    ledger = filled()
    assert ledger.service_baselines == {}
    assert ledger.revision == 1
    ledger.follow([PutService(0, Service())])
    assert ledger.revision == 1
