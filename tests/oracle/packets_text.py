# SPDX-License-Identifier: Apache-2.0
"""Packets as one line of text, the form in which the facts tell what was seen.

``describe`` writes the line (checksums verified), ``build`` makes the packet that a
line describes. Where the line says nothing (data bytes, TCP window, ICMP payload)
``build`` chooses something fixed.
"""

from __future__ import annotations

import re
import struct
from ipaddress import IPv4Address, IPv6Address

from . import frames

_FLAG_ORDER = "FSRPAU"
_BAD_SUM = " BAD-SUM"
_SCTP_HEADER = 12


def describe(packet: bytes) -> str:
    """One line about ``packet``; raises ``struct.error`` or ``IndexError`` if it is cut short."""
    return _describe_ipv4(packet) if packet[0] >> 4 == 4 else _describe_ipv6(packet)


def _describe_ipv4(packet: bytes) -> str:
    header_length = (packet[0] & 15) * 4
    total, ident, fragment = struct.unpack("!HHH", packet[2:8])
    source, destination = str(IPv4Address(packet[12:16])), str(IPv4Address(packet[16:20]))
    offset = (fragment & 0x1FFF) * 8
    marks = ["DF"] if fragment & 0x4000 else []
    marks += ["MF"] if fragment & 0x2000 else []
    marks += [f"off={offset}"] if offset else []
    marks.append(f"tos={packet[1]}")
    line = (
        f"IP {source} > {destination} ttl={packet[8]} id={ident:#x} {','.join(marks)} len={total}"
    )
    if frames.ones_complement(packet[:header_length]):
        line += " BAD-IPSUM"
    if offset:
        return f"{line} | fragment"
    body = packet[header_length:total]
    # A quoted packet that was cut is still summed over what is there, so its sum is wrong;
    # only the first fragment of a packet is not.
    first_of_several = bool(fragment & 0x2000)
    text = _describe_payload(source, destination, packet[9], body)
    return f"{line} | {text.removesuffix(_BAD_SUM) if first_of_several else text}"


def _describe_ipv6(packet: bytes) -> str:
    first, length, protocol, hops = struct.unpack("!IHBB", packet[:8])
    source, destination = str(IPv6Address(packet[8:24])), str(IPv6Address(packet[24:40]))
    line = (
        f"IP6 {source} > {destination} hlim={hops} tc={first >> 20 & 0xFF} "
        f"flow={first & 0xFFFFF:#x} len={length}"
    )
    body = packet[40 : 40 + length]
    return f"{line} | {_describe_payload(source, destination, protocol, body)}"


def _describe_payload(source: str, destination: str, protocol: int, body: bytes) -> str:
    if protocol in (4, frames.IPV6):
        return describe(body)
    covered = frames.pseudo_header(source, destination, protocol, len(body))
    bad = _BAD_SUM if frames.ones_complement(covered + body) else ""
    if protocol == frames.TCP:
        return _describe_tcp(body, bad)
    if protocol == frames.UDP:
        return _describe_udp(body, bad)
    if protocol == frames.SCTP:
        return _describe_sctp(body)
    if protocol == frames.ICMP:
        bad = _BAD_SUM if frames.ones_complement(body) else ""
    if protocol in (frames.ICMP, frames.ICMP6):
        return _describe_icmp(protocol, body, bad)
    return _describe_gre(body) if protocol == frames.GRE else f"proto {protocol}"


def _describe_tcp(body: bytes, bad: str) -> str:
    if len(body) < 20:
        sport, dport, seq = struct.unpack("!HHI", body[:8])
        return f"TCP {sport} > {dport} seq={seq} (cut)"
    sport, dport, seq, ack, offset, bits = struct.unpack("!HHIIBB", body[:14])
    flags = "".join(f for f in _FLAG_ORDER if bits & frames.FLAG_BITS[f]) or "none"
    data = len(body) - (offset >> 4) * 4
    return f"TCP {sport} > {dport} {flags} seq={seq} ack={ack} data={data}{bad}"


def _describe_udp(body: bytes, bad: str) -> str:
    sport, dport, length, checksum = struct.unpack("!HHHH", body[:8])
    line = f"UDP {sport} > {dport} len={length}{' nosum' if checksum == 0 else bad}"
    if dport in (6080, 6081) and len(body) > 12:
        gue = 4 + (body[8] & 31) * 4
        line += f" | GUE {body[8 : 8 + gue].hex()} | {describe(body[8 + gue :])}"
    return line


def _describe_sctp(body: bytes) -> str:
    names = {number: name for name, number in frames.CHUNKS.items()}
    sport, dport = struct.unpack("!HH", body[:4])
    found, at = [], _SCTP_HEADER
    while at + 4 <= len(body):
        kind, _, length = struct.unpack("!BBH", body[at : at + 4])
        found.append(names.get(kind, str(kind)))
        at += max(4, (length + 3) & ~3)
    bad = "" if frames.sctp_is_right(body) else " BAD-CRC"
    return f"SCTP {sport} > {dport} {'+'.join(found)}{bad}"


def _describe_gre(body: bytes) -> str:
    flags, inner = struct.unpack("!HH", body[:4])
    summed = bool(flags & 0x8000)
    verdict = "BAD" if frames.ones_complement(body) else "ok"
    line = f"GRE flags={flags:#x} proto={inner:#x}{f' sum={verdict}' if summed else ''}"
    return f"{line} | {describe(body[8 if summed else 4 :])}"


def _describe_icmp(protocol: int, body: bytes, bad: str) -> str:
    six = protocol == frames.ICMP6
    quotes = body[0] < 128 if six else body[0] in (3, 4, 5, 11, 12)
    line = f"ICMP{'6' if six else ''} type={body[0]} code={body[1]} rest={body[4:8].hex()}{bad}"
    return f"{line} | quoting {describe(body[8:])}" if quotes else line


_IPV4 = re.compile(
    r"IP (\S+) > (\S+) ttl=(\d+) id=(0x[0-9a-f]+) ((?:DF,|MF,)*)tos=(\d+) len=(\d+) \| (.*)"
)
_IPV6 = re.compile(r"IP6 (\S+) > (\S+) hlim=(\d+) tc=(\d+) flow=(0x[0-9a-f]+) len=(\d+) \| (.*)")
_TCP = re.compile(r"TCP (\d+) > (\d+) (\S+) seq=(\d+) ack=(\d+) data=(\d+)")
_UDP = re.compile(r"UDP (\d+) > (\d+) len=(\d+)")
_SCTP = re.compile(r"SCTP (\d+) > (\d+) (\S+)")
_ICMP = re.compile(r"ICMP(6?) type=(\d+) code=(\d+) rest=([0-9a-f]{8})(?: \| quoting (.*))?")


def build(line: str) -> bytes:
    """The packet that ``line`` describes.

    Raises ``ValueError`` when the line has something this cannot make (tunnels, a wrong
    checksum) or when the packet would not be described by the same line.
    """
    made = _build_packet(line)
    if (again := describe(made)) != line:
        raise ValueError(f"cannot build {line!r}: it became {again!r}")
    return made


def _build_packet(line: str) -> bytes:
    if match := _IPV4.fullmatch(line):
        source, destination, ttl, ident, marks, tos, total, rest = match.groups()
        protocol, payload = _build_payload(source, destination, rest, int(total) - 20)
        flags = (0x4000 if "DF," in marks else 0) | (0x2000 if "MF," in marks else 0)
        return frames.ipv4(
            source,
            destination,
            protocol,
            payload,
            ttl=int(ttl),
            ident=int(ident, 16),
            tos=int(tos),
            flags_and_offset=flags,
        )
    if match := _IPV6.fullmatch(line):
        source, destination, hops, traffic_class, flow, length, rest = match.groups()
        protocol, payload = _build_payload(source, destination, rest, int(length))
        return frames.ipv6(
            source,
            destination,
            protocol,
            payload,
            hop_limit=int(hops),
            traffic_class=int(traffic_class),
            flow=int(flow, 16),
        )
    raise ValueError(f"no packet is described by {line!r}")


def _build_payload(source: str, destination: str, line: str, length: int) -> tuple[int, bytes]:
    if match := _TCP.fullmatch(line):
        sport, dport, flags, seq, ack, data = match.groups()
        segment = frames.tcp_segment(
            source,
            int(sport),
            destination,
            int(dport),
            "" if flags == "none" else flags,
            seq=int(seq),
            ack=int(ack),
            data=b"x" * int(data),
        )
        return frames.TCP, segment
    if match := _UDP.fullmatch(line):
        sport, dport, size = map(int, match.groups())
        data = b"x" * (size - 8)
        return frames.UDP, frames.udp_datagram(source, sport, destination, dport, data)
    if match := _SCTP.fullmatch(line):
        sport, dport, chunks = match.groups()
        return frames.SCTP, frames.sctp_segment(int(sport), int(dport), *chunks.split("+"))
    if match := _ICMP.fullmatch(line):
        six, kind, code, rest, quoted = match.groups()
        message = bytes([int(kind), int(code), 0, 0]) + bytes.fromhex(rest)
        message += _build_packet(quoted) if quoted else b"\0" * (length - 8)
        protocol = frames.ICMP6 if six else frames.ICMP
        covered = frames.pseudo_header(source, destination, protocol, len(message)) if six else b""
        return protocol, frames.with_checksum(message, 2, covered)
    raise ValueError(f"no payload is described by {line!r}")
