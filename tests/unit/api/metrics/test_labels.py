# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from ipaddress import ip_address

import pytest
from prometheus_client.parser import text_string_to_metric_families

from xlvs.api.metrics import labels
from xlvs.model.service import DestinationKey, Family, Protocol, ServiceKey

TCP = ServiceKey(protocol=Protocol.TCP, address=ip_address("10.0.0.1"), port=80)
UDP6 = ServiceKey(
    protocol=Protocol.UDP, address=ip_address("fd00::1"), port=53, family=Family.INET6
)
MARK = ServiceKey(protocol=Protocol.FWM, fwmark=26)
MARK6 = ServiceKey(protocol=Protocol.FWM, fwmark=26, family=Family.INET6)
SERVER = DestinationKey(address=ip_address("fd00::11"), port=8080)


def parsed(labels):
    """As Prometheus's own parser reads them."""
    (family,) = text_string_to_metric_families(f"xlvs_x{{{labels}}} 1\n")
    return family.samples[0].labels


@pytest.mark.parametrize(
    ("key", "label"),
    [
        (TCP, "tcp 10.0.0.1:80"),
        (UDP6, "udp [fd00::1]:53"),
        (MARK, "fwm 26"),
        (MARK6, "fwm 26 inet6"),
    ],
)
def test_a_service_has_one_name(key, label):
    assert parsed(labels.of_service(key)) == {"service": label}


def test_a_real_server_is_one_of_a_service():
    at = {"service": "fwm 26", "destination": "[fd00::11]:8080"}
    assert parsed(labels.of_server(labels.of_service(MARK), SERVER)) == at


def test_node_exporters_six():
    server = {"remote_address": "fd00::11", "remote_port": "8080"}
    # Addresses without brackets, marks as in /proc/net/ip_vs.
    assert parsed(labels.of_backend(labels.of_local(UDP6), SERVER)) == {
        "local_address": "fd00::1",
        "local_port": "53",
        "proto": "UDP",
        "local_mark": "",
        **server,
    }
    assert parsed(labels.of_backend(labels.of_local(MARK), SERVER)) == {
        "local_address": "",
        "local_port": "0",
        "proto": "FWM",
        "local_mark": "0000001A",
        **server,
    }
