# SPDX-License-Identifier: Apache-2.0
"""``global_defs``, and the few keywords that stand outside of all blocks."""

from __future__ import annotations

from xlvs.config.keepalived.commands import command_keyword, user_and_group
from xlvs.config.keepalived.instance import garp_keywords, multicast
from xlvs.config.keepalived.places import Wrong
from xlvs.config.keepalived.reading import Reading
from xlvs.config.keepalived.sync_daemon import SYNC_DAEMON
from xlvs.config.keepalived.table import (
    Keyword,
    Values,
    also,
    flag,
    no_effect,
    read_block,
    refused,
    table,
    value,
    words,
)
from xlvs.config.keepalived.tree import Node
from xlvs.config.keepalived.values import (
    boolean,
    interface_name,
    number,
    port,
    text,
    timer,
    word,
)
from xlvs.model.configuration import Global, LvsFlush
from xlvs.model.cookie_secret import cookie_secrets
from xlvs.model.desired import Timeouts
from xlvs.model.notification import Command, Fifo, Mail
from xlvs.model.problem import Problem
from xlvs.model.service import Address

TIMEOUT_MAX = 31 * 86400
"""Seconds, ipvsadm's limit."""


def _recipients(_reading: Reading, node: Node, values: Values) -> None:
    found = [each for line in node for each in line.words]
    values["to"] = (*values.get("to", ()), *found)


def _server(_reading: Reading, node: Node, values: Values) -> None:
    values["server"] = word(node.words, 1, "a mail server")
    if len(node.words) > 2:  # noqa: PLR2004  # keyword, server, port
        values["port"] = port(node.words, 2)


def _timeouts(_reading: Reading, node: Node, values: Values) -> None:
    names = {"tcp": "tcp", "tcpfin": "tcp_fin", "udp": "udp"}
    found: dict[str, int] = {}
    if len(node.words) == 1:
        raise Wrong("lvs_timeouts wants tcp N, tcpfin N or udp N", 1)
    for index in range(1, len(node.words), 2):
        name = node.words[index]
        if name not in names:
            raise Wrong(f"lvs_timeouts has {', '.join(names)}, not {name!r}", index)
        found[names[name]] = number(0, TIMEOUT_MAX)([name, *node.words[1:]], index + 1)
    # 0 leaves a time-out as it is, as with ipvsadm --set.
    values["timeouts"] = Timeouts(**{name: each for name, each in found.items() if each})


def _flush_on_stop(_reading: Reading, node: Node, values: Values) -> None:
    if len(node.words) == 1:
        values["lvs_flush_on_stop"] = LvsFlush.ALL
    elif node.words[1] == "VS":
        values["lvs_flush_on_stop"] = LvsFlush.SERVICES
    else:
        raise Wrong(f"lvs_flush_on_stop is followed by VS or nothing, not {node.words[1]!r}", 1)


def _fifo(name: str) -> Keyword:
    def read(_reading: Reading, node: Node, values: Values) -> None:
        path = text("the path of a FIFO")(node.words, 1)
        if name in values:
            raise Wrong(f"{name} is said twice")
        values[name] = (
            (path, *user_and_group(["", *node.words[2:], ""], 1))
            if node.words[2:]
            else (path, "", "")
        )

    return Keyword(name, read, "PATH [USER [GROUP]]")


def _min_garp(_reading: Reading, node: Node, values: Values) -> None:
    if boolean(node.words, 1):
        values.setdefault("garp_repeat", 1)
        values.setdefault("garp_delay", 0)


def _script_user(_reading: Reading, node: Node, values: Values) -> None:
    values["script_user"], values["script_group"] = user_and_group(node.words, 1)


def _cookie_secret(reading: Reading, node: Node, values: Values) -> None:
    path = word(node.words, 1, "the path of a file")
    if "syn_cookie_secrets" in values:
        raise Wrong("syn_cookie_secret_file is said twice")
    if not path.startswith("/"):
        raise Wrong(f"syn_cookie_secret_file wants the whole path of a file, not {path!r}", 1)
    try:
        values["syn_cookie_secrets"] = cookie_secrets(reading.read_secret(path), path)
    except OSError as error:
        raise Wrong(f"{path} cannot be read: {error.strerror or error}", 1) from None
    except Problem as problem:
        raise Wrong(problem.message, 1) from None


def _group(version: int) -> Keyword:
    name = f"vrrp_mcast_group{version}"

    def parse(found: list[str], index: int) -> Address:
        address = multicast(found, index)
        if address.version != version:
            raise Wrong(f"{name} is an IPv{version} address", index)
        return address

    return value(name, parse, "ADDRESS")


def _startup(name: str) -> list[Keyword]:
    return [
        command_keyword(name),
        value(f"{name}_timeout", number(1, 1000), "1..1000 s"),
    ]


def _each(why: str, *names: str) -> list[Keyword]:
    return [no_effect(name, why) for name in names]


_PROCESSES = ("vrrp", "checker", "bfd")

_GLOBALS = table(
    "global_defs",
    value("router_id", text("a name"), "NAME"),
    no_effect("lvs_id", "it is called router_id since keepalived 1.1"),
    Keyword("notification_email", _recipients, "addresses", block=True),
    value("notification_email_from", text("an address"), "ADDRESS", into="sender"),
    Keyword("smtp_server", _server, "HOST [PORT]"),
    value("smtp_helo_name", text("a name"), "NAME", into="helo_name"),
    value("smtp_connect_timeout", timer(0), "seconds", into="timeout"),
    value("smtp_alert", boolean, "[BOOL]"),
    value("smtp_alert_vrrp", boolean, "[BOOL]"),
    value("smtp_alert_checker", boolean, "[BOOL]"),
    flag("no_email_faults"),
    no_effect("no_checker_emails", "mails are sent only when a real server comes or goes"),
    value("checker_log_all_failures", boolean, "[BOOL]"),
    _startup("startup_script"),
    _startup("shutdown_script"),
    Keyword("script_user", _script_user, "USER [GROUP]"),
    flag("enable_script_security"),
    no_effect("use_symlink_paths", "paths are taken as they are"),
    no_effect("set_supplementary_groups", "a user's groups are always set"),
    _fifo("notify_fifo"),
    command_keyword("notify_fifo_script"),
    _fifo("vrrp_notify_fifo"),
    command_keyword("vrrp_notify_fifo_script"),
    _fifo("lvs_notify_fifo"),
    command_keyword("lvs_notify_fifo_script"),
    value("vrrp_notify_priority_changes", boolean, "[BOOL]", into="notify_priority_changes"),
    flag("fifo_write_vrrp_states_on_reload", into="fifo_states_on_reload"),
    flag("rs_init_notifies"),
    value("default_interface", interface_name, "INTERFACE"),
    Keyword("lvs_timeouts", _timeouts, "[tcp N] [tcpfin N] [udp N]"),
    SYNC_DAEMON,
    Keyword(
        "syn_cookie_secret_file",
        _cookie_secret,
        "PATH",
        note="ours: one or two lines of 16 bytes or more, which directors share",
    ),
    flag("lvs_flush"),
    *also(
        Keyword("lvs_flush_on_stop", _flush_on_stop, "[VS]"),
        "lvs_flush_onstop",
    ),
    # VRRP
    _group(4),
    _group(6),
    garp_keywords("vrrp_"),
    value("vrrp_garp_interval", timer(0), "seconds", into="garp_interval"),
    value("vrrp_gna_interval", timer(0), "seconds", into="gna_interval"),
    Keyword("vrrp_min_garp", _min_garp, "[BOOL]"),
    value("vrrp_down_timer_adverts", number(1, 100), "1..100", into="down_timer_adverts"),
    value("vrrp_lower_prio_no_advert", boolean, "[BOOL]", into="lower_priority_no_advert"),
    value("vrrp_higher_prio_send_advert", boolean, "[BOOL]", into="higher_priority_send_advert"),
    value("vrrp_version", number(2, 3), "2..3"),
    value("v3_checksum_as_v2", boolean, "[BOOL]"),
    flag("vrrp_check_unicast_src", into="check_unicast_source"),
    value("vrrp_skip_check_adv_addr", boolean, "[BOOL]", into="skip_check_adv_addr"),
    value("vrrp_strict", boolean, "[BOOL]", into="strict"),
    value("vrrp_startup_delay", timer(0.001), "seconds", into="startup_delay"),
    refused("vrrp_delay_after_boot", "use vrrp_startup_delay, or order the service unit"),
    refused("vrrp_owner_ignore_adverts", "RFC 9568 has an address owner look at adverts"),
    no_effect("log_unknown_vrids", "adverts of unknown router ids are counted"),
    value("vrrp_rt_priority", number(1, 99), "1..99"),
    flag("vrrp_no_swap"),
    value("vrrp_priority", number(-20, 19), "-20..19"),
    no_effect("vmac_prefix", "a VMAC is called vrrp.ID unless use_vmac names it"),
    no_effect("vmac_addr_prefix", "a VMAC is called vrrp.ID unless use_vmac names it"),
    # How keepalived runs
    _each(
        "adverts have a process of their own; its priority and memory are set by vrrp_rt_priority "
        "and vrrp_no_swap, or by the service unit",
        *(f"{process}_rlimit_rttime" for process in _PROCESSES),
        *(f"{process}_rlimit_rtime" for process in _PROCESSES),
        *(f"{process}_cpu_affinity" for process in _PROCESSES),
        *(f"{process}_{word_}" for process in _PROCESSES[1:] for word_ in ("priority", "no_swap")),
        *(f"{process}_rt_priority" for process in _PROCESSES[1:]),
        "max_auto_priority",
        "min_auto_priority_delay",
    ),
    _each(
        "processes have names of their own",
        "process_names",
        "process_name",
        *(f"{process}_process_name" for process in (*_PROCESSES, "lvs")),
    ),
    _each(
        "buffers are as large as needed",
        *(
            f"{what}_{which}_rcv_bufs{end}"
            for what in ("vrrp_netlink", "lvs_netlink")
            for which in ("cmd", "monitor")
            for end in ("", "_force")
        ),
        "process_monitor_rcv_bufs",
        "process_monitor_rcv_bufs_force",
        "vrrp_rx_bufs_policy",
        "vrrp_rx_bufs_multiplier",
    ),
    _each(
        "there is no SNMP agent: metrics are given to Prometheus",
        "snmp_socket",
        "enable_snmp_vrrp",
        "enable_snmp_keepalived",
        "enable_snmp_checker",
        "enable_snmp_rfc",
        "enable_snmp_rfcv2",
        "enable_snmp_rfcv3",
        "enable_traps",
        "snmp_vs_stats_update_interval",
        "snmp_rs_stats_update_interval",
    ),
    _each(
        "there is no D-Bus interface: the HTTP API has all of it",
        "enable_dbus",
        "dbus_service_name",
        "dbus_no_interface_name",
    ),
    _each(
        "no packet filter is needed: the data path answers only for addresses it holds",
        "nftables",
        "nftables_priority",
        "nftables_counters",
        "nftables_ifindex",
        "vrrp_iptables",
        "vrrp_ipsets",
    ),
    _each(
        "each member of a virtual_server_group is a service of its own, at no cost for packets",
        "nftables_ipvs",
        "nftables_ipvs_priority",
        "nftables_ipvs_start_fwmark",
    ),
    no_effect("disable_local_igmp", "set the sysctl net.ipv4.igmp_link_local_mcast_reports"),
    no_effect("dynamic_interfaces", "interfaces may always come and go"),
    _each(
        "files of state are not written: ask xlvs status",
        "config_save_dir",
        "tmp_config_directory",
        "data_use_instance",
        "json_version",
        "state_dump_file",
        "stats_dump_file",
        "json_dump_file",
        "state_file_location",
        "stats_file_location",
        "json_file_location",
    ),
    no_effect("umask", "the service unit sets it"),
    no_effect("reload_check_config", "a wrong file is always found before anything is changed"),
    refused("reload_time_file", "use a systemd timer that reloads"),
    refused("reload_repeat", "use a systemd timer that reloads"),
    refused("reload_file", "a reload is over when xlvs says so; wait for the command"),
    _each("names of tables and protocols are ip's", "iproute_usr_dir", "iproute_etc_dir"),
    words("random_seed", number(0, 2**32 - 1), "0..", note="numbers differ from keepalived's"),
    words(
        "include_check",
        lambda _words, _index: True,
        "[+|-]readable|match|wildcard_match|brace_match …",
    ),
    no_effect("instance", "a director's name is said by xlvs --instance"),
    _each("the service manager keeps process ids", "use_pid_dir", "child_wait_time"),
    no_effect("linkbeat_use_polling", "the kernel tells of links"),
    refused("net_namespace", "start the daemon in the namespace (ip netns exec, systemd)"),
    refused("net_namespace_ipvs", "start the daemon in the namespace (ip netns exec, systemd)"),
    no_effect("namespace_with_ipsets", "no ipsets are needed"),
)


def read_globals(reading: Reading, node: Node, _: Values) -> None:
    """``global_defs {…}``; several of them add up."""
    reading.global_node = reading.global_node or node
    read_block(reading, node, _GLOBALS, reading.globals)


OUTSIDE = tuple(
    _GLOBALS.keywords[name]
    for name in (
        "linkbeat_use_polling",
        "net_namespace",
        "net_namespace_ipvs",
        "namespace_with_ipsets",
        "use_pid_dir",
        "instance",
        "child_wait_time",
    )
)
"""Keywords that keepalived has outside of blocks."""

_MAIL = ("sender", "to", "server", "port", "helo_name", "timeout")

_PLAIN = (
    *("router_id", "smtp_alert", "smtp_alert_checker", "smtp_alert_vrrp", "no_email_faults"),
    *("notify_priority_changes", "fifo_states_on_reload"),
    *("rs_init_notifies", "script_user", "script_group", "enable_script_security", "lvs_flush"),
    *("lvs_flush_on_stop", "timeouts", "checker_log_all_failures", "vrrp_rt_priority"),
    *("vrrp_no_swap", "vrrp_priority", "syn_cookie_secrets"),
)

SCRIPT_TIMEOUT = 10.0
"""Seconds of the startup and shutdown script, keepalived's default."""


def global_values(reading: Reading) -> Global:
    """What the file's ``global_defs`` say."""
    said = reading.globals
    found: Values = {name: said[name] for name in _PLAIN if name in said}
    found["mail"] = Mail(**{name: said[name] for name in _MAIL if name in said})
    paths: dict[str, str] = {}
    for name in ("notify_fifo", "vrrp_notify_fifo", "lvs_notify_fifo"):
        script: Command | None = said.get(f"{name}_script")
        if name in said:
            path, user, group = said[name]
            if path in paths:
                _problem(reading, f"{name} and {paths[path]} are the same FIFO {path}")
            paths[path] = name
            found[name] = Fifo(path, script, user, group)
        elif script is not None:
            _problem(reading, f"{name}_script is there without {name}")
    for name in ("startup_script", "shutdown_script"):
        script = said.get(name)
        if script is not None:
            seconds = float(said.get(f"{name}_timeout", SCRIPT_TIMEOUT))
            found[name] = Command(script.argv, script.user, script.group, seconds)
    return Global(**found)


def _problem(reading: Reading, message: str) -> None:
    assert reading.global_node is not None  # noqa: S101  # something was said there
    reading.findings.problem(reading.global_node.place(), message)
