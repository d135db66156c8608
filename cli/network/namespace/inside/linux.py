"""What Python 3.8 has no module for: namespaces, mounts and capabilities (namespaces(7), mount(2), capabilities(7))."""

import ctypes
import os
import struct

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x20000, 0x10000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_NOATIME, MS_NODIRATIME, MS_BIND, MS_REC, MS_PRIVATE, MS_SLAVE, MS_RELATIME = 1 << 10, 1 << 11, 4096, 16384, 1 << 18, 1 << 19, 1 << 21
MNT_DETACH = 2
PR_CAPBSET_DROP, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, PR_CAP_AMBIENT_CLEAR_ALL = 24, 47, 2, 4
CAP_NET_ADMIN, CAP_NET_RAW = 12, 13
CAPABILITY_VERSION_3 = 0x20080522

libc = ctypes.CDLL(None, use_errno=True)


def check(result, what):
    """@raises OSError with `what` as its file name"""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def unshare(flags, what):
    check(libc.unshare(flags), what)


def setns(fd, kind):
    check(libc.setns(fd, kind), "setns")


def mount(source, target, kind, flags, data=None):
    encode = lambda text: None if text is None else os.fsencode(text)
    check(libc.mount(encode(source), encode(target), encode(kind), ctypes.c_ulong(flags), encode(data)), "mount " + target)


def detach(target):
    check(libc.umount2(os.fsencode(target), MNT_DETACH), "umount " + target)


def pivot_root(new_root, put_old):
    number = {"x86_64": 155, "riscv64": 41, "aarch64": 41, "ppc64le": 203, "s390x": 217}.get(os.uname().machine, 218)
    check(libc.syscall(number, os.fsencode(new_root), os.fsencode(put_old)), "pivot_root")


def lend_network_capabilities():
    """Programs that we exec (ip, nft) keep these two; all others end at exec, because our user is not root inside."""
    header = struct.pack("<II", CAPABILITY_VERSION_3, 0)
    sets = ctypes.create_string_buffer(24)
    check(libc.capget(header, sets), "capget")
    words = list(struct.unpack("<6I", sets.raw))
    for capability in (CAP_NET_ADMIN, CAP_NET_RAW):
        words[2] |= words[1] & (1 << capability)
    check(libc.capset(header, struct.pack("<6I", *words)), "capset")
    for capability in (CAP_NET_ADMIN, CAP_NET_RAW):
        check(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0), "prctl")


def drop_capabilities():
    """For good: what is executed next has none, root included."""
    for capability in range(64):
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            break  # EINVAL: one past the last the kernel knows
    libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    check(libc.capset(struct.pack("<II", CAPABILITY_VERSION_3, 0), bytes(24)), "capset")
