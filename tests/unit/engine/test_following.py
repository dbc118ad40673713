# SPDX-License-Identifier: Apache-2.0
"""What a director that follows no file cannot do is refused by name."""

from __future__ import annotations

import pytest
from tests.unit.datapath_plan.build import KEY, destination

from xlvs.engine.following import check_plain
from xlvs.model.checker import RealServer, TcpCheck, VirtualService
from xlvs.model.configuration import Configuration, Global, LvsFlush
from xlvs.model.desired import Timeouts
from xlvs.model.notification import Command
from xlvs.model.problem import Problem
from xlvs.model.service import Service
from xlvs.model.syncing import SyncDaemon
from xlvs.model.tracking import File

RUN = Command(argv=("/bin/true",))


def of(service=None, **more):
    servers = (RealServer(destination=destination(1), **more),)
    plain = {"name": "web", "service": Service(key=KEY), "real_servers": servers}
    return Configuration(services=(VirtualService(**plain, **(service or {})),))


def test_services_real_servers_and_time_outs():
    check_plain(Configuration())
    check_plain(of())
    check_plain(Configuration(globals=Global(timeouts=Timeouts(), router_id="x")))


@pytest.mark.parametrize(
    ("configuration", "words"),
    [
        (of(checks=(TcpCheck(),)), "health checks"),
        (of(notify_up=RUN), "programs"),
        (of(service={"quorum_down": RUN}), "programs"),
        (of(service={"sorry_server": destination(2)}), "sorry servers"),
        (Configuration(sync=SyncDaemon()), "connection sync"),
        (Configuration(files=(File(name="x", path="/x"),)), "track files"),
        (Configuration(globals=Global(startup_script=RUN)), "programs"),
        (Configuration(globals=Global(lvs_flush_on_stop=LvsFlush.ALL)), "lvs_flush_on_stop"),
        (Configuration(globals=Global(syn_cookie_secrets=(b"x" * 16,))), "syn_cookie_secret_file"),
    ],
)
def test_more_than_that(configuration, words):
    with pytest.raises(Problem, match=f"nobody would act on: .*{words}.*--use-file"):
        check_plain(configuration)
