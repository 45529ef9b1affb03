"""Ways out of a run's confinement, as code that is tried inside, and how each may end.

An attempt must be harmless when it succeeds: a file of the machine is opened for writing, never written or
truncated, and a signal goes to a process of the test alone.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

PRELUDE = """
import ctypes, errno, fcntl, json, os, socket, stat, struct, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
W = json.loads(sys.argv[1])
REPO, MOUNT, OUTSIDE, PID, FD = W["repo"], W["mount"], W["outside"], W["pid"], W["fd"]
NUMBERS = {"x86_64": (155, 310, 308, 321, 250), "aarch64": (41, 270, 268, 280, 219)}
PIVOT, VM_READ, SETNS, BPF, KEYCTL = NUMBERS[os.uname().machine]
AT_FDCWD, MS_REMOUNT, MS_BIND, NEWNS, NEWUSER = -100, 32, 4096, 0x20000, 0x10000000

def call(name, *args):
    if getattr(libc, name)(*args) < 0:
        raise OSError(ctypes.get_errno(), name)

def kernel(number, *args):
    wide = [ctypes.c_long(each) if isinstance(each, int) else each for each in args]
    result = libc.syscall(number, *wide)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"system call {number}")
    return result

def read(path):
    print("got", open(path, "rb").read(100))

def write(path):
    with open(path, "w") as file:
        file.write("x")
    print("wrote", path)

def open_to_write(path, flags=0):
    os.close(os.open(path, os.O_WRONLY | flags))
    print("opened", path)

def connect(path):
    socket.socket(socket.AF_UNIX).connect(path)
    print("connected")

try:
    exec(sys.argv[2])
except OSError as error:
    print("refused", errno.errorcode[error.errno])
"""

KERNEL_FILES = """
found = []
for top, folders, files in os.walk("/proc"):
    folders[:] = [each for each in folders if not each.isdecimal()]
    for path in (os.path.join(top, each) for each in files):
        may = not os.path.islink(path) and os.stat(path).st_mode & 0o222
        if may and not os.statvfs(path).f_flag & os.ST_RDONLY:
            found.append(path)
assert not found, found
print("harmless")
"""

# What is tried, and how it may end: errors' names, or "harmless" where the code itself has looked.
ESCAPES = {
    "absolute path outside": ("read(OUTSIDE)", "ENOENT"),
    "the repository's own store": ("read(REPO + '/.makfs/store.db')", "ENOENT"),
    "dotdot out of the view": ("read('../' * 30 + OUTSIDE)", "ENOENT"),
    "what lies beside the view": ("assert os.listdir('..') == ['repo']; print('harmless')", "harmless"),
    "symlink out": ("os.symlink(OUTSIDE, 'link1'); read('link1')", "ENOENT"),
    "symlink to the parent": ("os.symlink('..', 'link2'); read('link2/../' + OUTSIDE)", "ENOENT"),
    "hard link of what is outside": ("os.link(OUTSIDE, 'hard1'); read('hard1')", "ENOENT"),
    "hard link out of the view": ("os.link('README.md', '/tmp/hard2'); print('linked')", "EXDEV EPERM"),
    "proc 1 root": ("read('/proc/1/root' + OUTSIDE)", "ENOENT EACCES"),
    "proc 1 cwd": ("read('/proc/1/cwd/../../../../../..' + OUTSIDE)", "ENOENT EACCES"),
    "proc self root": ("read('/proc/self/root' + OUTSIDE)", "ENOENT"),
    "root of a process outside": ("read(f'/proc/{PID}/root' + OUTSIDE)", "ENOENT"),
    "descriptors of process 1": (
        "for fd in os.listdir('/proc/1/fd'): read('/proc/1/fd/' + fd + '/../' + OUTSIDE)",
        "ENOENT EACCES ENOTDIR",
    ),
    "inherited descriptor": ("os.fchdir(FD); read('.makfs/store.db')", "EBADF"),
    "all descriptors": (
        "assert {int(fd) for fd in os.listdir('/proc/self/fd')} <= {0, 1, 2, 3}; print('harmless')",
        "harmless",
    ),
    "mount of a tmpfs": ("call('mount', b'x', b'/tmp', b'tmpfs', 0, None)", "EPERM"),
    "mount of proc": ("call('mount', b'proc', b'/tmp', b'proc', 0, None)", "EPERM"),
    "unmount of the view": ("call('umount2', REPO.encode(), 2)", "EPERM EINVAL"),
    "bind over the view": ("call('mount', b'/tmp', REPO.encode(), None, MS_BIND, None)", "EPERM"),
    "remount of usr": ("call('mount', None, b'/usr', None, MS_REMOUNT | MS_BIND | 1, None)", "EPERM"),
    "fusermount": (
        (
            "done = subprocess.run(['fusermount3', '-u', MOUNT], capture_output=True)\n"
            "assert done.returncode; print('harmless')"
        ),
        "harmless",
    ),
    "fusermount of the view": (
        (
            "done = subprocess.run(['fusermount3', '-uz', REPO], capture_output=True)\n"
            "assert done.returncode; print('harmless')"
        ),
        "harmless",
    ),
    "chroot": ("os.chroot('/tmp')", "EPERM"),
    "pivot_root": ("kernel(PIVOT, b'/tmp', b'/tmp')", "EPERM"),
    "unshare of mounts": ("call('unshare', NEWNS)", "EPERM"),
    "new user namespace": ("call('unshare', NEWUSER)", "EPERM ENOSPC EUSERS"),
    "new user namespace by hand": (
        (
            "done = subprocess.run(['unshare', '-Urm', 'true'], capture_output=True)\n"
            "assert done.returncode; print('harmless')"
        ),
        "harmless",
    ),
    "namespace of process 1": ("kernel(SETNS, os.open('/proc/1/ns/mnt', 0), 0)", "EPERM EACCES"),
    "namespace of a process outside": ("kernel(SETNS, os.open(f'/proc/{PID}/ns/mnt', 0), 0)", "ENOENT"),
    "pidfd of a process outside": ("os.pidfd_open(PID)", "ESRCH"),
    "ptrace of a process outside": ("call('ptrace', 16, PID, None, None)", "ESRCH"),
    "memory of a process outside": (
        (
            "vector = (ctypes.c_size_t * 2)(ctypes.addressof(ctypes.create_string_buffer(8)), 8)\n"
            "kernel(VM_READ, PID, vector, 1, vector, 1, 0)"
        ),
        "ESRCH",
    ),
    "environment of a process outside": ("read(f'/proc/{PID}/environ')", "ENOENT"),
    "kill of a process outside": ("os.kill(PID, 9)", "ESRCH"),
    "control socket": ("connect(REPO + '/.makfs/control.sock')", "ENOENT"),
    "control socket through proc": (
        "connect('/proc/1/cwd' + REPO + '/.makfs/control.sock')",
        "ENOENT EACCES",
    ),
    "another view": ("print(os.listdir(MOUNT + '/bob'))", "ENOENT"),
    "another view beside": ("print(os.listdir('../work/bob'))", "ENOENT"),
    "head by path": ("print(os.listdir(MOUNT + '/@head'))", "ENOENT"),
    "head in the view": ("print(os.listdir('@head'))", "ENOENT"),
    "an old tree in the view": ("print(os.listdir('@1'))", "ENOENT"),
    "home of another agent": ("print(os.listdir(REPO + '/.makfs/agents/bob/home'))", "ENOENT"),
    "what lies beside the home": (
        "assert sorted(os.listdir(os.environ['HOME'] + '/..')) == ['guide.md', 'home']; print('harmless')",
        "harmless",
    ),
    "the caller's home": ("read(W['home'] + '/key')", "ENOENT"),
    "secrets in the environment": (
        "assert 'MAKFS_TEST_SECRET' not in os.environ; print('harmless')",
        "harmless",
    ),
    "secrets in process 1": (
        "assert W['secret'].encode() not in open('/proc/1/environ', 'rb').read(); print('harmless')",
        "harmless EACCES",
    ),
    "privileges": (
        (
            "status = open('/proc/self/status').read()\n"
            "assert 'CapEff:\\t0000000000000000' in status and 'CapBnd:\\t0000000000000000' in status\n"
            "assert 'NoNewPrivs:\\t1' in status; print('harmless')"
        ),
        "harmless",
    ),
    "fuse device": ("os.open('/dev/fuse', os.O_RDWR)", "ENOENT"),
    "memory device": ("os.open('/dev/mem', os.O_RDWR)", "ENOENT"),
    "device made in tmp": ("os.mknod('/tmp/kmem', stat.S_IFCHR | 0o600, os.makedev(1, 2))", "EPERM"),
    "disk made in the view": ("os.mknod('disk', stat.S_IFBLK | 0o600, os.makedev(8, 0))", "EPERM"),
    "etc": ("open_to_write('/etc/passwd')", "EROFS"),
    "usr": ("open_to_write('/usr/bin', os.O_TMPFILE)", "EROFS"),
    "root": ("os.mkdir('/evil')", "EROFS"),
    "the mountpoint made anew": (
        "os.makedirs(MOUNT + '/bob'); assert not os.listdir(MOUNT + '/bob'); print('harmless')",
        "harmless",
    ),
    "cgroups": ("open_to_write('/sys/fs/cgroup/cgroup.procs')", "ENOENT EROFS"),
    "cgroups through proc": ("open_to_write('/proc/1/cgroup')", "EACCES EROFS EPERM"),
    "kernel settings": ("open_to_write('/proc/sys/kernel/core_pattern')", "EROFS"),
    "settings of the network": ("open_to_write('/proc/sys/net/ipv4/ip_forward')", "EROFS ENOENT"),
    "interrupts": ("open_to_write('/proc/irq/default_smp_affinity')", "EROFS ENOENT"),
    "sysrq": ("open_to_write('/proc/sysrq-trigger')", "EROFS ENOENT"),
    "anything of the kernel's": (KERNEL_FILES, "harmless"),
    "kernel memory": ("read('/proc/kcore')", "EPERM EACCES ENOENT"),
    "host name": ("socket.sethostname('evil')", "EPERM"),
    "bpf": ("kernel(BPF, 0, None, 0)", "EPERM E2BIG EINVAL ENOSYS"),
    "handle of another file system": (
        (
            "handle = struct.pack('Ii8s', 8, 1, bytes([2]) + bytes(7)); "
            "call('open_by_handle_at', os.open('/usr', 0), handle, 0)"
        ),
        "EPERM",
    ),
    "another view by its inode": (
        (
            "handle = struct.pack('IiQI', 12, 0x81, 1, 0); "
            "call('open_by_handle_at', os.open(REPO, 0), handle, 0)"
        ),
        "EPERM",
    ),
    "keyring of the session": ("print('key', kernel(KEYCTL, 0, -3, 0))", "EPERM"),
    "keyring of the user": ("print('key', kernel(KEYCTL, 0, -4, 1))", "EPERM"),
    "new keyring": ("print('key', kernel(KEYCTL, 1, 0))", "EPERM"),
    "shadow passwords": ("read('/etc/shadow')", "EACCES ENOENT"),
    "the view moved away": ("os.rename(REPO, '/tmp/away')", "EBUSY EROFS EXDEV"),
    "the guide": ("open_to_write(os.environ['MAKFS_GUIDE'])", "EROFS"),
}

ABSTRACT = "connect('\\0' + W['abstract'])"  # refused since Linux 6.12


def is_scoped() -> bool:
    """Tell whether the kernel can keep abstract sockets away."""
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int(minor.split("-")[0])) >= (6, 12)


@contextmanager
def listening(name: str) -> Iterator[None]:
    """Listen at an abstract socket."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0" + name)
        listener.listen()
        yield
