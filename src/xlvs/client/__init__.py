# SPDX-License-Identifier: Apache-2.0
"""A director's API for programs in Python.

::

    from xlvs.client import Client, connect

    client = Client("edge")                       # this machine's, by its instance's name
    client = connect("https://edge1.example:8443", token=TOKEN, authority="/etc/xlvs/ca.pem")
    for each in client.services().services:
        print(each.service.key, each.live.connections)

Every method raises ``xlvs.model.problem.Problem`` if it fails; a refused write has changed nothing.
Values are those of ``xlvs.model`` and ``xlvs.wire``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlvs.client.core import UnixSocket
    from xlvs.client.director import Client, Tagged, Written, connect, from_environment

__all__ = ["Client", "Tagged", "UnixSocket", "Written", "connect", "from_environment"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever has that name
    # ipvsadm starts often and imports xlvs.client.core alone.
    if name not in __all__:
        raise AttributeError(name)
    from xlvs.client import director  # noqa: PLC0415 - as above

    return getattr(director, name)
