"""
serve.py: makes the namespaces, keeps them, and works at their network for the session (../helper.ts).

fd 0  one line of JSON: what to set up (HelperTask)
fd 3  Node's IPC channel: hands sockets over (a line {"cmd":"NODE_HANDLE",…} with the descriptor beside it). Its end is ours
fd 4  frames, both ways: u32 length, u16 length of the words, words separated by spaces (ASCII), payload

    to the session                                  from the session
    ready | failed   payload: JSON                  verdict <flow> open|refused|unreachable|drop
    syn <flow>                                      udp <flow> + payload: an answer, so source and target are swapped
    udp <flow> + payload                            unreachable <flow>
    unconnected <id> <errno>                        connect <id> <address> <port>
    listeners   payload: JSON (listeners.py)        listeners
    <flow> is: source address, source port, target address, target port

Held packets: nft changes the protocol number of a SYN that nobody inside answers to HELD_SYN, and that of such a datagram to
HELD_UDP, so a raw socket gets them whole and the kernel answers nothing. When the session has connected, the SYN is sent
again with OPEN_MARK and goes to the session's listener (TPROXY); when it could not, we answer as the destination would have.
NFQUEUE would do as well, but needs two kernel modules more.
"""

import errno
import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import linux
import listeners
import packets
import place

HELD_SYN, HELD_UDP = 253, 254  # "for experimentation and testing" (RFC 3692)
OPEN_MARK, OUR_MARK = 1, 2
MAX_HELD = 4096
MAX_OUT_BYTES = 8 << 20
RECEIVE_BUFFER_BYTES = 4 << 20
IP_TRANSPARENT, IPV6_TRANSPARENT, IPV6_RECVPKTINFO, IPV6_PKTINFO, SO_MARK = 19, 75, 49, 50, 36


def nft_rules(task, has_v6):
    rule = "add rule inet kube_intercept in "
    own = ", ".join(["127.0.0.0/8", task["address"]])
    lines = [
        "add table inet kube_intercept",
        "add chain inet kube_intercept in { type filter hook prerouting priority -150; }",
        rule + "meta l4proto tcp tcp flags & (fin|syn|rst|ack) != syn accept",
        rule + "meta mark %d accept" % OUR_MARK,
        # All addresses are local here: without these two, everything would answer a ping.
        rule + "ip daddr != { %s } icmp type echo-request drop" % own,
        rule + "ip6 daddr != ::1 icmpv6 type echo-request drop",
        rule + "meta l4proto != { tcp, udp } accept",
        rule + "ip daddr %s accept" % task["nameserver"],
        rule + "ip daddr { %s } socket transparent 0 accept" % own,
        rule + "ip6 daddr ::1 socket transparent 0 accept",
        rule + "meta mark %d meta nfproto ipv4 meta l4proto tcp tproxy ip to %s:%d accept" % (OPEN_MARK, task["acceptor"], task["acceptorPort"]),
        rule + "ip protocol tcp ip protocol set %d" % HELD_SYN,
        rule + "ip protocol udp ip protocol set %d" % HELD_UDP,
    ]
    if has_v6:
        lines += [
            rule + "meta mark %d meta nfproto ipv6 meta l4proto tcp tproxy ip6 to [%s]:%d accept" % (OPEN_MARK, task["acceptorV6"], task["acceptorPort"]),
            rule + "ip6 nexthdr tcp ip6 nexthdr set %d" % HELD_SYN,
            rule + "ip6 nexthdr udp ip6 nexthdr set %d" % HELD_UDP,
        ]
    return "\n".join(lines) + "\n"


def run(argv, text):
    ran = subprocess.run(argv, input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if ran.returncode != 0:
        raise RuntimeError("%s: %s" % (os.path.basename(argv[0]), ran.stdout.decode(errors="replace").strip()[:500]))


def sysctl(name, value):
    try:
        with open("/proc/sys/net/" + name, "w") as file:
            file.write(value)
    except OSError:
        pass  # /proc/sys is read-only in some containers; the defaults do


class Step(Exception):
    """What was being done when it failed; the session knows the remedy."""

    def __init__(self, step, cause):
        super().__init__(str(cause))
        self.step = step


def step(name, work, *arguments):
    try:
        return work(*arguments)
    except (OSError, RuntimeError) as cause:
        raise Step(name, cause) from cause


def become_inside():
    uid, gid = os.geteuid(), os.getegid()
    linux.unshare(linux.CLONE_NEWUSER | linux.CLONE_NEWNET | linux.CLONE_NEWNS, "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", "%d %d 1" % (uid, uid)), ("gid_map", "%d %d 1" % (gid, gid))):
        with open("/proc/self/" + name, "w") as file:
            file.write(text)


def make_network(task):
    """@returns whether there is IPv6"""
    sysctl("ipv6/conf/all/disable_ipv6", "0")
    sysctl("ipv4/ip_unprivileged_port_start", "0")  # as container runtimes do
    sysctl("ipv4/ping_group_range", "%d %d" % (os.getegid(), os.getegid()))
    run(
        [task["ip"], "-batch", "-"],
        "link set lo up\naddress add %s/32 dev lo\nroute add local 0.0.0.0/0 dev lo src %s\n" % (task["address"], task["address"]),
    )
    optional = "link set lo gso_max_segs 1\n"  # else one packet holds many datagrams of a QUIC sender (UDP_SEGMENT)
    for line in (optional, "-6 route add local ::/0 dev lo\n"):
        try:
            run([task["ip"], *(["-6"] if line.startswith("-6") else []), "-batch", "-"], line.replace("-6 ", ""))
        except RuntimeError:
            if line != optional:
                return False
    return True


def listen(address, port, transparent):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = socket.socket(family, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if transparent:
        level, name = (socket.IPPROTO_IPV6, IPV6_TRANSPARENT) if family == socket.AF_INET6 else (socket.SOL_IP, IP_TRANSPARENT)
        server.setsockopt(level, name, 1)
    server.bind((address, port))
    server.listen(4096)
    server.setblocking(False)
    return server


def raw(family, protocol, mark=None):
    made = socket.socket(family, socket.SOCK_RAW, protocol)
    made.setblocking(False)
    if mark is not None:
        made.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
        return made
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
    return made


def fill_mounts(task, places):
    """@returns what could not be mounted, in words"""
    warnings = []

    def attempt(work, *arguments):
        try:
            work(*arguments)
        except OSError as error:
            warnings.append("%s: %s" % (arguments[-1] if len(arguments) == 1 else arguments[1], error.strerror))

    # Who asks nscd or systemd-resolved asks the laptop's resolver, past resolv.conf.
    for folder in ("/run/nscd", "/var/run/nscd", "/run/systemd/resolve"):
        if not os.path.islink(os.path.dirname(folder)):
            attempt(places.hide, folder)
    for file in {"/etc/resolv.conf", *task["resolvConfCopies"]}:
        if file == "/etc/resolv.conf" or os.path.isdir(os.path.dirname(file)):
            step("resolv.conf", places.write, file, task["resolvConf"])
    if task["nsswitchConf"] is not None:
        attempt(lambda text, path: places.write(path, text), task["nsswitchConf"], "/etc/nsswitch.conf")
    for entry in task["mounts"]:
        attempt(places.bind, entry["source"], entry["target"], True)
    return warnings


class Helper:
    def __init__(self, channel, frames):
        self.selector = selectors.DefaultSelector()
        self.channel = channel
        self.frames = frames
        self.out = bytearray()
        self.received = bytearray()
        self.held = {}  # flow -> SYN
        self.handles = []  # waiting for the session's acknowledgement of the one before
        self.handle_under_way = False
        self.senders = {}
        self.families = []
        self.running = True

    def watch(self, file, handler):
        file.setblocking(False)
        self.selector.register(file, selectors.EVENT_READ, handler)

    def start(self, task):
        has_v6 = step("network", make_network, task)
        step("nft", run, [task["nft"], "-f", "-"], nft_rules(task, has_v6))
        self.families = [socket.AF_INET, socket.AF_INET6] if has_v6 else [socket.AF_INET]
        step("sockets", self.open_raw, self.families)
        servers = [("tproxy", step("sockets", listen, task["acceptor"], task["acceptorPort"], True))]
        if has_v6:
            servers.append(("tproxy6", step("sockets", listen, task["acceptorV6"], task["acceptorPort"], True)))
        servers.append(("dns", step("sockets", listen, task["nameserver"], 53, False)))
        dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        dns.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        dns.bind((task["nameserver"], 53))
        dns.setblocking(False)
        if task["probe"]:
            return
        for name, server in servers:
            self.hand_over("net.Server", {"name": name}, server)
        self.hand_over("dgram.Socket", {"name": "dns"}, dns, {"dgramType": "udp4"})

    def open_raw(self, families):
        for family in families:
            for protocol, handler in ((HELD_SYN, self.on_syn), (HELD_UDP, self.on_datagram)):
                held = raw(family, protocol)
                self.watch(held, lambda held=held, handler=handler: self.read_raw(held, handler))
            for mark in (OPEN_MARK, OUR_MARK):
                self.senders[family, mark] = raw(family, socket.IPPROTO_RAW, mark)

    # Packets

    def read_raw(self, held, handler):
        for _ in range(64):
            try:
                data, ancillary, _, sender = held.recvmsg(65536, 128)
            except BlockingIOError:
                return
            if held.family == socket.AF_INET:
                source, target, segment = data[12:16], data[16:20], data[(data[0] & 15) * 4 :]
            else:
                source, segment = packets.packed(sender[0].partition("%")[0]), data
                target = next((value[:16] for _, kind, value in ancillary if kind == IPV6_PKTINFO), None)
            if target is None or len(segment) < 8:
                continue
            sport, dport = struct.unpack_from("!HH", segment)
            flow = "%s %d %s %d" % (socket.inet_ntop(held.family, source), sport, socket.inet_ntop(held.family, target), dport)
            handler(flow, source, target, segment)

    def on_syn(self, flow, source, target, segment):
        if flow in self.held or len(self.held) >= MAX_HELD or len(segment) < 20:
            return  # it asks again
        self.held[flow] = (source, target, segment)
        self.send("syn " + flow)

    def on_datagram(self, flow, source, target, segment):
        if len(self.out) < MAX_OUT_BYTES:  # else dropped, as networks do
            self.send("udp " + flow, segment[8:])

    def put(self, mark, packet):
        version = packet[0] >> 4
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        address = packets.socket.inet_ntop(family, packet[16:20] if version == 4 else packet[24:40])
        try:
            self.senders[family, mark].sendto(packet, (address, 0))
        except OSError:
            pass  # no room, or larger than the loopback device takes: lost, as in a network

    def verdict(self, flow, word):
        held = self.held.pop(flow, None)
        if held is None:
            return
        source, target, segment = held
        if word == "open":
            self.put(OPEN_MARK, packets.syn_again(source, target, segment))
        elif word == "refused":
            self.put(OUR_MARK, packets.refusal(source, target, segment))
        elif word == "unreachable":
            self.put(OUR_MARK, packets.unreachable(packets.HOST_UNREACHABLE, source, target, packets.TCP, segment))

    # The session

    def send(self, words, payload=b""):
        head = words.encode()
        self.out += struct.pack("!IH", 2 + len(head) + len(payload), len(head)) + head + payload
        self.flush()

    def flush(self):
        while self.out:
            try:
                sent = self.frames.send(self.out)
            except BlockingIOError:
                break
            except OSError:
                self.running = False
                return
            del self.out[:sent]
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.out else 0)
        if self.frames in self.selector.get_map() and self.selector.get_key(self.frames).events != events:
            self.selector.modify(self.frames, events, self.on_frames)

    def on_frames(self):
        self.flush()
        try:
            data = self.frames.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.running = False
        self.received += data
        at = 0
        while len(self.received) - at >= 6:
            length, words_length = struct.unpack_from("!IH", self.received, at)
            if len(self.received) - at - 4 < length:
                break
            body = bytes(self.received[at + 6 : at + 4 + length])
            at += 4 + length
            self.on_frame(body[:words_length].decode(), body[words_length:])
        del self.received[:at]

    def on_frame(self, words, payload):
        kind, _, rest = words.partition(" ")
        if kind == "verdict":
            flow, _, word = rest.rpartition(" ")
            self.verdict(flow, word)
        elif kind == "udp":
            source, sport, target, dport = rest.split(" ")
            self.put(OUR_MARK, packets.datagram(packets.packed(source), int(sport), packets.packed(target), int(dport), payload))
        elif kind == "unreachable":
            source, sport, target, dport = rest.split(" ")
            head = struct.pack("!HHHH", int(sport), int(dport), 8, 0)
            error = packets.unreachable(packets.PORT_UNREACHABLE, packets.packed(source), packets.packed(target), packets.UDP, head)
            self.put(OUR_MARK, error)
        elif kind == "listeners":
            self.send("listeners", json.dumps(listeners.listening_tcp(self.families)).encode())
        elif kind == "connect":
            number, address, port = rest.split(" ")
            self.connect(number, address, int(port))

    def connect(self, number, address, port):
        """To what listens inside, and to nothing else: what carries OUR_MARK is never held."""
        made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, SO_MARK, OUR_MARK)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        failed = made.connect_ex((address, port))
        if failed not in (0, errno.EINPROGRESS):
            made.close()
            self.send("unconnected %s %s" % (number, errno.errorcode.get(failed, "EIO")))
            return

        def on_writable():
            self.selector.unregister(made)
            error = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error == 0:
                self.hand_over("net.Socket", {"name": "connected", "id": int(number)}, made)
            else:
                made.close()
                self.send("unconnected %s %s" % (number, errno.errorcode.get(error, "EIO")))

        self.selector.register(made, selectors.EVENT_WRITE, on_writable)

    def hand_over(self, kind, message, made, more=None):
        self.handles.append((json.dumps({"cmd": "NODE_HANDLE", "type": kind, "msg": message, **(more or {})}) + "\n", made))
        self.next_handle()

    def next_handle(self):
        """One at a time, as Node's own child processes do."""
        if self.handle_under_way or not self.handles:
            return
        text, made = self.handles.pop(0)
        self.handle_under_way = True
        try:
            self.channel.sendmsg([text.encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", made.fileno()))])
        except BlockingIOError:
            self.handle_under_way = False
            self.handles.insert(0, (text, made))
            return
        except OSError:
            self.running = False
        made.close()

    def on_channel(self):
        try:
            data = self.channel.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.running = False
        if b"NODE_HANDLE" in data:  # …_ACK: the only thing it ever says, once for each
            self.handle_under_way = False
        self.next_handle()

    def loop(self):
        self.watch(self.channel, self.on_channel)
        self.watch(self.frames, self.on_frames)
        self.flush()
        while self.running:
            for key, _ in self.selector.select():
                key.data()


def main():
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # the session says when
    task = json.loads(sys.stdin.readline())
    helper = Helper(socket.socket(fileno=3), socket.socket(fileno=4))
    places = place.Places()
    try:
        step("namespaces", become_inside)
        step("capabilities", linux.lend_network_capabilities)
        step("mounts", place.prepare)
        helper.start(task)
        warnings = fill_mounts(task, places)
        helper.send("ready", json.dumps({"pid": os.getpid(), "warnings": warnings}).encode())
        if not task["probe"]:
            helper.loop()
    except Step as failed:
        helper.send("failed", json.dumps({"step": failed.step, "message": str(failed)}).encode())
    finally:
        places.clear()


main()
