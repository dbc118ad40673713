# SPDX-License-Identifier: Apache-2.0
"""``ipvsadm -S``: the rules as command lines that ``-R`` reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from xlvs.cli.ipvsadm import sorting, text
from xlvs.cli.ipvsadm.names import Names
from xlvs.cli.ipvsadm.values import address_text
from xlvs.model.service import Destination, Method, Protocol, Service
from xlvs.wire.messages import ServiceLine

_PROTOCOL_OPTIONS = {
    Protocol.TCP: "-t",
    Protocol.UDP: "-u",
    Protocol.SCTP: "--sctp-service",
}


def saved(services: Iterable[ServiceLine], names: Names | None) -> Iterator[str]:
    """The lines, in the order of listings. Thresholds are not saved: ipvsadm does not."""
    found = [(view, "".join(_lines(view, names))) for view in services]
    for _, lines in sorting.services(found):
        yield lines


def _lines(view: ServiceLine, names: Names | None) -> Iterator[str]:
    name = _name(view.service, names)
    yield _service(view.service, name)
    for each in sorting.asked(view):
        yield _server(view.service, each, name, names)


def _name(service: Service, names: Names | None) -> str:
    key = service.key
    if key.address is None:
        six = " -6" if text.is_ipv6(service) else ""
        return f"-f {text.mark(service)}{six}"
    name = text.endpoint(key.address, key.port, key.protocol, names)
    return f"{_PROTOCOL_OPTIONS[key.protocol]} {name}"


def _service(service: Service, name: str) -> str:
    words = ["-A", name, "-s", service.scheduler]
    if service.persistence_timeout:
        words += ["-p", str(service.persistence_timeout)]
        if service.netmask:
            words += ["-M", service.netmask]
    if service.persistence_engine:
        words += ["--pe", service.persistence_engine]
    if service.one_packet:
        words.append("-o")
    if service.flags:
        words += ["-b", text.flags(service)]
    return " ".join([*words, *_of_ours(service)]) + "\n"


def _of_ours(service: Service) -> Iterator[str]:
    """What IPVS has none of."""
    if service.stateless:
        yield "--stateless"
    for option, seconds in text.own_timeouts(service):
        yield from (f"--{option}", seconds)
    for option, *says in text.telling(service):
        yield from (f"--{option}", *says)
    for option, value in text.admission(service):
        yield from (f"--{option}", value)
    yield from text.syn_proxy(service)
    if service.local_addresses:
        yield from ("--local-address", ",".join(map(address_text, service.local_addresses)))
    if service.local_pool:
        yield from ("--local-pool", service.local_pool)


def _server(service: Service, server: Destination, name: str, names: Names | None) -> str:
    protocol = service.key.protocol
    address = text.endpoint(server.key.address, server.key.port, protocol, names)
    method = text.METHOD_OPTIONS[server.method]
    words = ["-a", name, "-r", address, method, "-w", str(server.weight)]
    if server.method is Method.TUN:
        words += text.tunnel_options(server)
    return " ".join(words) + "\n"
