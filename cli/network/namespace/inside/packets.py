"""Packets by hand: what the session answers is put on the loopback device as if the destination had sent it."""

import socket
import struct

TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
RST_ACK = 0x14
HOST_UNREACHABLE = {4: (3, 1), 6: (1, 3)}  # ICMP type and code: RFC 792, RFC 4443
PORT_UNREACHABLE = {4: (3, 3), 6: (1, 4)}


def family_of(address):
    return 6 if ":" in address else 4


def packed(address):
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def checksum(data):
    """RFC 1071. As one big number: 2^16 is 1 modulo 65535, so the sum of the words is the remainder."""
    if len(data) % 2:
        data += b"\0"
    total = int.from_bytes(data, "big")
    return 0xFFFF - (total % 0xFFFF or (0xFFFF if total else 0))


def with_checksum(source, target, protocol, segment, offset):
    """The segment with its checksum, pseudo-header included, at `offset`."""
    if len(source) == 4:
        pseudo = source + target + struct.pack("!BBH", 0, protocol, len(segment))
    else:
        pseudo = source + target + struct.pack("!IHBB", len(segment), 0, 0, protocol)
    blank = segment[:offset] + b"\0\0" + segment[offset + 2 :]
    value = checksum(pseudo + blank)
    if protocol == UDP and value == 0:
        value = 0xFFFF
    return blank[:offset] + struct.pack("!H", value) + blank[offset + 2 :]


def with_header(source, target, protocol, body):
    """The IP packet; the kernel fills in the checksum and the length of IPv4's header (raw(7))."""
    if len(source) == 4:
        return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0x4000, 64, protocol, 0) + source + target + body
    return struct.pack("!IHBB", 6 << 28, len(body), protocol, 64) + source + target + body


def syn_again(source, target, segment):
    """The SYN that was held. Its checksum was never computed: the loopback device leaves that out."""
    return with_header(source, target, TCP, with_checksum(source, target, TCP, segment, 16))


def refusal(source, target, segment):
    """The RST for a SYN (RFC 9293 §3.10.7.1), from its target."""
    sport, dport, sequence = struct.unpack_from("!HHI", segment)
    payload = len(segment) - (segment[12] >> 4) * 4  # TCP Fast Open
    answer = struct.pack("!HHIIBBHHH", dport, sport, 0, (sequence + 1 + payload) & 0xFFFFFFFF, 5 << 4, RST_ACK, 0, 0, 0)
    return with_header(target, source, TCP, with_checksum(target, source, TCP, answer, 16))


def unreachable(kinds, source, target, protocol, segment):
    """The ICMP error for a packet, from its target."""
    version = 4 if len(source) == 4 else 6
    kind, code = kinds[version]
    quoted = with_header(source, target, protocol, segment[:64])
    error = struct.pack("!BBHI", kind, code, 0, 0) + quoted
    if version == 6:
        return with_header(target, source, ICMP6, with_checksum(target, source, ICMP6, error, 2))
    error = error[:2] + struct.pack("!H", checksum(error)) + error[4:]
    return with_header(target, source, ICMP, error)


def datagram(source, sport, target, dport, payload):
    segment = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload
    if len(source) == 16:  # IPv4 needs none
        segment = with_checksum(source, target, UDP, segment, 6)
    return with_header(source, target, UDP, segment)
