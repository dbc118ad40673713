# SPDX-License-Identifier: Apache-2.0
"""Codes to the kernel's texts."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from xlvs.cli.ipvsadm.errors import kernel_text
from xlvs.model.edit import AddDestination, Clear, DeleteService
from xlvs.model.problem import Code
from xlvs.model.service import Destination, DestinationKey, Method, ServiceKey

KEY = ServiceKey(protocol="fwm", fwmark=1)


def add(method: Method) -> AddDestination:
    key = DestinationKey(address=ip_address("1.1.1.1"), port=1)
    return AddDestination(service=KEY, destination=Destination(key=key, method=method))


@pytest.mark.parametrize(
    ("edit", "code", "text"),
    [
        (DeleteService(key=KEY), Code.NO_SUCH_SERVICE, "No such service"),
        (add(Method.NAT), Code.NO_SUCH_SERVICE, "Service not defined"),
        (add(Method.NAT), Code.OUT_OF_RANGE, "Numerical result out of range"),
        (add(Method.FULLNAT), Code.INVALID, "ours"),
        (Clear(), Code.NO_SPACE, "ours"),
        (Clear(), Code.INTERNAL, "ours"),
        (Clear(), "a word of a newer daemon", "ours"),
    ],
)
def test_texts(edit, code, text) -> None:
    assert kernel_text(edit, code, "ours") == text


def test_the_kernels_word_for_no_unicast_address() -> None:
    assert kernel_text(add(Method.DR), Code.INVALID, "ours").startswith("Invalid operation.  ")
