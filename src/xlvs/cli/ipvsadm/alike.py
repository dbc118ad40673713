# SPDX-License-Identifier: Apache-2.0
"""Lines that add servers, as saved rules have them: nearly all lines of a restore.

They look like ``-a -t SERVICE -r SERVER OPTIONS``. Lines before have named the same service, and
others had the same options: what those words mean is remembered, and only the server is read.
What does not look like that, and whatever is wrong with it, is left to ``arguments``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from xlvs.cli.ipvsadm.names import Names
from xlvs.cli.ipvsadm.values import endpoint
from xlvs.model.edit import AddDestination, AnyEdit
from xlvs.model.service import Destination, DestinationKey, Method, Protocol, ServiceKey

_SERVER = " -r "
_PROTOCOLS = {"-t": Protocol.TCP, "-u": Protocol.UDP, "--sctp-service": Protocol.SCTP}
_UNTRANSLATED = frozenset((Method.DR, Method.TUN))


class Alike:
    """What lines have said until now."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._services: dict[str, ServiceKey | None] = {}
        self._options: dict[str, dict[str, Any]] = {}

    def learn(self, line: str, edit: AnyEdit) -> None:
        """The line means this edit."""
        beginning, _, rest = line.partition(_SERVER)
        if isinstance(edit, AddDestination) and self._service(beginning) is not None:
            # Beside its key nothing of a destination depends on the service or the server.
            wanted = edit.destination
            fields = msgspec.structs.fields(Destination)
            given = {each.name: getattr(wanted, each.name) for each in fields if each.name != "key"}
            self._options[rest.partition(" ")[2]] = given

    def edit(self, line: str) -> AddDestination | None:
        """What the line means, if it says nothing new but a server."""
        beginning, _, rest = line.partition(_SERVER)
        text, _, options = rest.partition(" ")
        given = self._options.get(options)
        if given is None:
            return None
        service = self._service(beginning)
        server = None if service is None else endpoint(text, service.protocol, self._names)
        if service is None or server is None:
            return None
        address, port = server
        method = given["method"]
        if method is not Method.TUN and type(address) is not type(service.address):
            return None
        if port is None or method in _UNTRANSLATED:
            port = service.port
        key = DestinationKey(address=address, port=port)
        return AddDestination(service=service, destination=Destination(key=key, **given))

    def _service(self, beginning: str) -> ServiceKey | None:
        """``-a -t SERVICE``, if it is one."""
        try:
            return self._services[beginning]
        except KeyError:
            found = self._services[beginning] = self._read(beginning)
            return found

    def _read(self, beginning: str) -> ServiceKey | None:
        match beginning.split(" "):
            case ["-a", option, text] if option in _PROTOCOLS:
                protocol = _PROTOCOLS[option]
                found = endpoint(text, protocol, self._names)
                if found is not None:
                    port = found.port or 0
                    return ServiceKey(protocol=protocol, address=found.address, port=port)
        return None
