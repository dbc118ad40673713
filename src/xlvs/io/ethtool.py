# SPDX-License-Identifier: Apache-2.0
"""What a network device is, asked by ethtool's ioctl.

It works in any network namespace, also where /sys shows another one's devices.
"""

from __future__ import annotations

import array
import fcntl
import socket
import struct

from xlvs.engine.hook import Device

_SIOCETHTOOL = 0x8946
_GET_DRIVER = 0x03
_GET_FLAGS = 0x25
_FLAG_LRO = 1 << 15
_DRIVER_INFO_BYTES = 196
_DRIVER_AT, _DRIVER_BYTES = 4, 32


def device(name: str) -> Device:
    """Driver and offloads; a device that does not say has the driver ""."""
    info = _ask(name, _GET_DRIVER, _DRIVER_INFO_BYTES)
    driver = info[_DRIVER_AT : _DRIVER_AT + _DRIVER_BYTES].split(b"\0")[0].decode()
    (flags,) = struct.unpack("I", _ask(name, _GET_FLAGS, 8)[4:8])
    return Device(name, driver, lro=bool(flags & _FLAG_LRO))


def _ask(name: str, command: int, size: int) -> bytes:
    answer = array.array("B", struct.pack("I", command).ljust(size, b"\0"))
    address, _ = answer.buffer_info()
    request = struct.pack("16sP16x", name.encode(), address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            fcntl.ioctl(channel, _SIOCETHTOOL, request)
        except OSError:
            return bytes(size)
    return answer.tobytes()
