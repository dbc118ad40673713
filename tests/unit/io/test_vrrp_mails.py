# SPDX-License-Identifier: Apache-2.0

import msgspec
import pytest
from tests.unit.config.keepalived.reading import read

from xlvs.io.vrrp.messages import GroupNow, StateNow
from xlvs.io.vrrp_mails import mail_about

CONFIGURATION = read(
    """
global_defs {
    router_id LVS_1
    smtp_alert_vrrp on
}
vrrp_sync_group both {
    group {
        loud
        quiet
    }
    smtp_alert off
}
vrrp_sync_group alone {
    group {
        other
    }
}
vrrp_instance loud {
    interface eth0
    virtual_router_id 1
}
vrrp_instance quiet {
    interface eth0
    virtual_router_id 2
    smtp_alert off
}
vrrp_instance other {
    interface eth0
    virtual_router_id 3
}
"""
)


def now(instance, before, state, cause="eth0 is down"):
    return StateNow(
        instance=instance,
        state=state,
        before=before,
        priority=100,
        cause=cause,
        addresses=(),
        since=0.0,
    )


def test_who_is_told_of_what():
    assert mail_about(CONFIGURATION, now("loud", "BACKUP", "MASTER")) == (
        "[LVS_1] VRRP Instance loud - Entering MASTER state",
        "Instance loud was BACKUP and is MASTER (eth0 is down). "
        "It holds its virtual addresses now.",
    )
    subject, text = mail_about(
        CONFIGURATION, GroupNow(group="alone", before="MASTER", state="FAULT")
    )
    assert subject == "[LVS_1] VRRP Group alone - Entering FAULT state"
    assert text == "Group alone was MASTER and is FAULT. It cannot hold its virtual addresses."


@pytest.mark.parametrize(
    "message",
    [
        now("quiet", "BACKUP", "MASTER"),
        now("unknown", "BACKUP", "MASTER"),
        now("loud", "BACKUP", "BACKUP"),
        now("loud", "MASTER", "INIT"),
        GroupNow(group="both", before="BACKUP", state="MASTER"),
    ],
)
def test_who_is_not(message):
    assert mail_about(CONFIGURATION, message) is None


def test_no_email_faults():
    defs = msgspec.structs.replace(CONFIGURATION.globals, no_email_faults=True)
    silent = msgspec.structs.replace(CONFIGURATION, globals=defs)
    assert mail_about(silent, now("loud", "BACKUP", "FAULT")) is None
    assert mail_about(silent, now("loud", "BACKUP", "MASTER"))
