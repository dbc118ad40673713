# SPDX-License-Identifier: Apache-2.0
"""``smtp_alert`` of VRRP instances and groups: subjects as keepalived 2.2.7 writes them."""

from __future__ import annotations

from xlvs.io.vrrp.messages import GroupNow, StateNow
from xlvs.model.configuration import Configuration

_MEANS = {
    "MASTER": "It holds its virtual addresses now.",
    "BACKUP": "Another router holds its virtual addresses.",
    "FAULT": "It cannot hold its virtual addresses.",
}


def mail_about(
    configuration: Configuration, message: StateNow | GroupNow
) -> tuple[str, str] | None:
    """Subject and text of the mail about a change; None: nobody wants one."""
    defs = configuration.globals
    if message.state == message.before or message.state not in _MEANS:
        return None
    if message.state == "FAULT" and defs.no_email_faults:
        return None
    if isinstance(message, StateNow):
        kind, name, cause = "Instance", message.instance, message.cause
        wanted = {each.name: each.notify.smtp_alert for each in configuration.instances}
    else:
        kind, name, cause = "Group", message.group, ""
        wanted = {each.name: each.notify.smtp_alert for each in configuration.groups}
    if not wanted.get(name):
        return None
    subject = f"[{defs.router_id}] VRRP {kind} {name} - Entering {message.state} state"
    why = f" ({cause})" if cause else ""
    text = f"{kind} {name} was {message.before} and is {message.state}{why}."
    return subject, f"{text} {_MEANS[message.state]}"
