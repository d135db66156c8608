"""enter.py <pid> <cwd> <command> [<argument>…]: execs the command in the namespaces of that process, with no capabilities."""

import errno
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import linux


def enter(pid):
    kinds = (("user", linux.CLONE_NEWUSER), ("net", linux.CLONE_NEWNET), ("mnt", linux.CLONE_NEWNS))
    opened = [(os.open("/proc/%s/ns/%s" % (pid, name), os.O_RDONLY), kind) for name, kind in kinds]
    for fd, kind in opened:  # the user namespace first: its owner may do the rest
        linux.setns(fd, kind)


def environment():
    """As we were started: Python changes its own (PEP 538 sets LC_CTYPE)."""
    with open("/proc/self/environ", "rb") as file:
        pairs = (entry.partition(b"=") for entry in file.read().split(b"\0") if entry)
        return {name: value for name, _, value in pairs}


def execute(argv, env):
    try:
        os.execvpe(argv[0], argv, env)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        os.execve("/bin/sh", ["sh", *argv], env)  # a script without #!, as execvp(3) does


def main(pid, cwd, *argv):
    env = environment()
    try:
        enter(pid)
        os.chdir(cwd)
        linux.drop_capabilities()
    except OSError as error:
        print("kube-intercept: cannot enter the namespace: %s: %s" % (error.filename, error.strerror), file=sys.stderr)
        return 126
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and the command would inherit that
        signal.signal(number, signal.SIG_DFL)
    try:
        execute(list(argv), env)
    except OSError as error:
        print('kube-intercept: cannot start "%s": %s' % (argv[0], error.strerror), file=sys.stderr)
        return 127 if error.errno == errno.ENOENT else 126


sys.exit(main(*sys.argv[1:]))
