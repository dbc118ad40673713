# SPDX-License-Identifier: Apache-2.0
"""10,000 checks of 2,000 services: what an event costs is counted, not timed."""

from __future__ import annotations

import random

from tests.unit.engine.health.build import desired, key, real, virtual

from xlvs.engine.health.effects import RotationChanged, StartProbe
from xlvs.engine.health.health import Health
from xlvs.engine.health.outcome import Heard
from xlvs.engine.health.rotation import rotate
from xlvs.model.checker import TcpCheck

SERVICES = 2000
EACH = 5
GOOD = Heard(ok=True)
BAD = Heard(ok=False, cause="connection refused")


def many():
    check = TcpCheck(retry=0)
    return [
        virtual(
            *[
                real(n, address=f"10.{n + 9}.{at >> 8}.{at & 255}", checks=[check])
                for n in range(1, EACH + 1)
            ],
            at=key(f"10.1.{at >> 8}.{at & 255}"),
            delay_loop=5.0,
        )
        for at in range(SERVICES)
    ]


def run(health, until):
    """All probes are answered at once, well."""
    probes = 0
    while (due := health.next_deadline) is not None and due <= until:
        for each in health.tick(due):
            assert isinstance(each, StartProbe)
            probes += 1
            assert health.result(each.probe, each.run, GOOD, due) == []
    return probes


def test_a_result_touches_only_its_own_service():
    services = many()
    health = Health(random.Random(3).random)
    health.reconfigured(services, 0.0)
    asked = desired(*services)
    assert len(health.state.watches) == SERVICES * EACH
    assert run(health, 5.0) == SERVICES * EACH
    assert run(health, 15.0) == 2 * SERVICES * EACH
    # The agenda is no longer than what is due and one forgotten deadline of each.
    assert len(health.state.agenda) <= 3 * SERVICES * EACH

    rotation = rotate(asked, health.standing)
    assert rotation.desired == asked
    while True:
        due = health.next_deadline
        starts = [each for each in health.tick(due) if isinstance(each, StartProbe)]
        if starts:
            break
    first = starts[0]
    effects = health.result(first.probe, first.run, BAD, due)
    assert effects[0] == RotationChanged((first.service,))
    after = rotate(asked, health.standing, rotation, effects[0].services)
    differ = [at for at, each in asked.services.items() if after.desired.services[at] is not each]
    assert differ == [first.service]
    assert len(after.desired.services[first.service][1]) == EACH - 1

    assert health.reconfigured(many(), due) == []
