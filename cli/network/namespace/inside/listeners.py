"""Listening TCP sockets, asked of the kernel by sock_diag(7): /proc/net/tcp walks its whole table of connections each time."""

import socket
import struct

NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY = 4, 20
NLM_F_REQUEST, NLM_F_DUMP = 1, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
TCP_LISTEN = 10
HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
REQUEST = struct.Struct("=BBBxI48x")  # inet_diag_req_v2: family, protocol, extensions, states, any socket
ANSWER_PORT_AT, ANSWER_ADDRESS_AT = 4, 8  # in inet_diag_msg


def listening_tcp(families):
    """@returns [(address, port)] in this network namespace; None where the kernel has no tcp_diag"""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as asked:
            return [found for family in families for found in dump(asked, family)]
    except OSError:
        return None


def dump(asked, family):
    body = REQUEST.pack(family, socket.IPPROTO_TCP, 0, 1 << TCP_LISTEN)
    asked.send(HEADER.pack(HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 1, 0) + body)
    address_bytes = 4 if family == socket.AF_INET else 16
    while True:
        data = asked.recv(65536)
        at = 0
        while at < len(data):
            length, kind = HEADER.unpack_from(data, at)[:2]
            body_at = at + HEADER.size
            if kind == NLMSG_DONE:
                return
            if kind == NLMSG_ERROR or length < HEADER.size:
                raise OSError("sock_diag")
            (port,) = struct.unpack_from("!H", data, body_at + ANSWER_PORT_AT)
            address = data[body_at + ANSWER_ADDRESS_AT :][:address_bytes]
            yield socket.inet_ntop(family, address), port
            at += (length + 3) & ~3
