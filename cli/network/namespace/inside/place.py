"""Puts files and directories at a path, for this mount namespace alone."""

import os

import linux

LOCKED = (  # a less privileged namespace may not clear them (mount_namespaces(7)): every remount repeats them
    (os.ST_NOSUID, linux.MS_NOSUID),
    (os.ST_NODEV, linux.MS_NODEV),
    (os.ST_NOEXEC, linux.MS_NOEXEC),
    (os.ST_NOATIME, linux.MS_NOATIME),
    (os.ST_NODIRATIME, linux.MS_NODIRATIME),
    (os.ST_RELATIME, linux.MS_RELATIME),
)


class Places:
    """What was made on the laptop's own file system is in `made`: empty mount points, removed by `clear`."""

    def __init__(self):
        self.made = []
        self.ours = set()  # devices: each tmpfs that stands in for a directory we may not write

    def bind(self, source, target, read_only=False):
        """Shows `source` at `target`, which need not exist. The source stays live: what changes there changes here."""
        target = os.path.realpath(target)
        self.provide(target, os.path.isdir(source))
        linux.mount(source, target, None, linux.MS_BIND | linux.MS_REC)
        if read_only:
            had = os.statvfs(target).f_flag
            keep = sum(flag for has, flag in LOCKED if had & has)
            linux.mount(None, target, None, linux.MS_BIND | linux.MS_REMOUNT | linux.MS_RDONLY | keep)

    def write(self, target, text):
        """Shows a file of this text at `target`."""
        work = free_folder("/")
        linux.mount("kube-intercept", work, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=755")
        try:
            file = os.path.join(work, "file")
            fd = os.open(file, os.O_WRONLY | os.O_CREAT, 0o644)
            os.write(fd, text.encode())
            os.close(fd)
            self.bind(file, target)
        finally:
            linux.detach(work)  # the file stays, bound

    def hide(self, folder):
        """Shows an empty directory in its place."""
        if os.path.isdir(folder):
            linux.mount("kube-intercept", folder, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=755")
            self.ours.add(os.stat(folder).st_dev)

    def provide(self, target, is_folder):
        """Makes a mount point: really, where the user may, else in a stand-in for the nearest directory that exists."""
        if os.path.lexists(target):
            return
        parent = os.path.dirname(target)
        missing = [target]
        while not os.path.lexists(parent):
            missing.append(parent)
            parent = os.path.dirname(parent)
        if not os.access(parent, os.W_OK):
            self.stand_in(parent)
        vanishes = os.stat(parent).st_dev in self.ours
        for path in reversed(missing):
            if path != target or is_folder:
                os.mkdir(path, 0o755)
            else:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
            if not vanishes:
                self.made.append(path)

    def stand_in(self, folder):
        """
        A tmpfs over a directory, with all its entries bound into it: writes below them go where they went, and new ones
        beside them were forbidden anyway. Not overlayfs: it would swallow the user's writes, and not cross mounts.
        """
        work = free_folder(folder)
        mode = os.stat(folder).st_mode & 0o7777
        linux.mount("kube-intercept", work, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=%o" % mode)
        for entry in os.scandir(folder):
            copy = os.path.join(work, entry.name)
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), copy)
                continue
            if entry.is_dir(follow_symlinks=False):
                os.mkdir(copy)
            else:
                os.close(os.open(copy, os.O_WRONLY | os.O_CREAT, 0o644))
            if entry.path == work:
                continue  # become_root
            linux.mount(entry.path, copy, None, linux.MS_BIND | linux.MS_REC)
        if folder == "/":
            self.become_root(work)
        else:
            linux.mount(work, folder, None, linux.MS_BIND | linux.MS_REC)
            linux.detach(work)
        self.ours.add(os.stat(folder).st_dev)

    def become_root(self, new_root):
        old = os.path.join(new_root, ".old")
        os.mkdir(old)
        linux.pivot_root(new_root, old)
        os.chdir("/")
        linux.mount("/.old" + new_root, new_root, None, linux.MS_BIND | linux.MS_REC)
        linux.detach("/.old")
        os.rmdir("/.old")

    def clear(self):
        for path in reversed(self.made):
            try:
                linux.detach(path)  # else busy: we see it mounted
            except OSError:
                pass  # EINVAL: a parent of what was mounted
            try:
                os.rmdir(path) if os.path.isdir(path) else os.unlink(path)
            except OSError:
                pass  # somebody has put something there: theirs now


def free_folder(unlike):
    """A directory to work in: covered for a moment, before the command runs."""
    return next(path for path in ("/mnt", "/tmp", "/run") if os.path.isdir(path) and path != unlike)


def prepare():
    """Nothing of what we mount shows outside; what the laptop mounts from here on shows inside."""
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_SLAVE)
