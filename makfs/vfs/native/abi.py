"""The kernel's FUSE protocol, version 7.31 and later: layouts, opcodes and flags, named as in linux/fuse.h.

A1  Each Struct has the size and the field order of the header's struct (a test asks the C compiler).

Native byte order, no padding but the header's own, which is written out. Where the header says uint64_t for
seconds since 1970 the kernel means a signed number, and so does this. Every layout here is fixed-size; names
and contents follow it in the message.
"""

from enum import IntEnum, IntFlag
from struct import Struct

FUSE_KERNEL_VERSION = 7
FUSE_KERNEL_MINOR_VERSION = 41  # what the layouts below were written for
FUSE_OLDEST_MINOR = 31  # Linux 5.4
FUSE_ROOT_ID = 1
FUSE_MIN_READ_BUFFER = 8192

# ---- headers

IN_HEADER = Struct("=IIQQIIIHH")  # len opcode unique nodeid uid gid pid total_extlen padding
OUT_HEADER = Struct("=IiQ")  # len error unique

# ---- requests

INIT_IN = Struct("=IIII")  # major minor max_readahead flags
INIT_IN_FLAGS2 = Struct("=I")  # follows if FUSE_INIT_EXT; then 11 words not used
FORGET_IN = Struct("=Q")  # nlookup
FORGET_ONE = Struct("=QQ")  # nodeid nlookup
BATCH_FORGET_IN = Struct("=II")  # count dummy
SETATTR_IN = Struct("=IIQQQqqqIIIIIIII")
# valid padding fh size lock_owner atime mtime ctime atimensec mtimensec ctimensec mode unused4 uid gid
# unused5
MKNOD_IN = Struct("=IIII")  # mode rdev umask padding
MKDIR_IN = Struct("=II")  # mode umask
RENAME_IN = Struct("=Q")  # newdir
RENAME2_IN = Struct("=QII")  # newdir flags padding
LINK_IN = Struct("=Q")  # oldnodeid
OPEN_IN = Struct("=II")  # flags open_flags
CREATE_IN = Struct("=IIII")  # flags mode umask open_flags
READ_IN = Struct("=QQIIQII")  # fh offset size read_flags lock_owner flags padding
WRITE_IN = Struct("=QQIIQII")  # fh offset size write_flags lock_owner flags padding
RELEASE_IN = Struct("=QIIQ")  # fh flags release_flags lock_owner
FLUSH_IN = Struct("=QIIQ")  # fh unused padding lock_owner
FSYNC_IN = Struct("=QII")  # fh fsync_flags padding
SETXATTR_IN = Struct("=II")  # size flags: FUSE_COMPAT_SETXATTR_IN_SIZE, for FUSE_SETXATTR_EXT is not set
GETXATTR_IN = Struct("=II")  # size padding
INTERRUPT_IN = Struct("=Q")  # unique

# ---- replies

INIT_OUT = Struct("=IIIIHHIIHHI28x")
# major minor max_readahead flags max_background congestion_threshold max_write time_gran max_pages
# map_alignment flags2
_ATTR = "QQQqqqIIIIIIIIII"
ATTR = Struct("=" + _ATTR)
# ino size blocks atime mtime ctime atimensec mtimensec ctimensec mode nlink uid gid rdev blksize flags
_ENTRY = "QQQQII" + _ATTR  # nodeid generation entry_valid attr_valid entry_valid_nsec attr_valid_nsec attr
ENTRY_OUT = Struct("=" + _ENTRY)
ATTR_OUT = Struct("=QII" + _ATTR)  # attr_valid attr_valid_nsec dummy attr
OPEN_OUT = Struct("=QII")  # fh open_flags padding
WRITE_OUT = Struct("=II")  # size padding
STATFS_OUT = Struct("=QQQQQIIII24x")  # blocks bfree bavail files ffree bsize namelen frsize padding
GETXATTR_OUT = Struct("=II")  # size padding
DIRENT = Struct("=QQII")  # ino off namelen type; the name follows, padded to a multiple of 8
DIRENTPLUS = Struct("=" + _ENTRY + "QQII")  # entry_out, dirent

# ---- notifications

NOTIFY_INVAL_INODE_OUT = Struct("=Qqq")  # ino off len
NOTIFY_INVAL_ENTRY_OUT = Struct("=QII")  # parent namelen flags
NOTIFY_STORE_OUT = Struct("=QQII")  # nodeid offset size padding; the bytes follow
NOTIFY_DELETE_OUT = Struct("=QQII")  # parent child namelen padding


class Opcode(IntEnum):
    """What the kernel asks for."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    CREATE = 35
    INTERRUPT = 36
    DESTROY = 38
    NOTIFY_REPLY = 41
    BATCH_FORGET = 42
    READDIRPLUS = 44
    RENAME2 = 45


class NotifyCode(IntEnum):
    """What the file system tells the kernel unasked; stands in place of an error."""

    INVAL_INODE = 2
    INVAL_ENTRY = 3
    STORE = 4
    DELETE = 6


class Init(IntFlag):
    """FUSE_*: what both sides can do. Bits from 32 on travel in flags2."""

    ASYNC_READ = 1 << 0
    POSIX_LOCKS = 1 << 1
    ATOMIC_O_TRUNC = 1 << 3
    BIG_WRITES = 1 << 5
    FLOCK_LOCKS = 1 << 10
    AUTO_INVAL_DATA = 1 << 12
    DO_READDIRPLUS = 1 << 13
    READDIRPLUS_AUTO = 1 << 14
    WRITEBACK_CACHE = 1 << 16
    PARALLEL_DIROPS = 1 << 18
    MAX_PAGES = 1 << 22
    CACHE_SYMLINKS = 1 << 23
    NO_OPENDIR_SUPPORT = 1 << 24
    EXPLICIT_INVAL_DATA = 1 << 25
    HANDLE_KILLPRIV_V2 = 1 << 28
    SETXATTR_EXT = 1 << 29
    INIT_EXT = 1 << 30
    DIRECT_IO_ALLOW_MMAP = 1 << 36


class Fattr(IntFlag):
    """FATTR_*: which fields of SETATTR_IN are meant."""

    MODE = 1 << 0
    UID = 1 << 1
    GID = 1 << 2
    SIZE = 1 << 3
    ATIME = 1 << 4
    MTIME = 1 << 5
    FH = 1 << 6
    ATIME_NOW = 1 << 7
    MTIME_NOW = 1 << 8
    KILL_SUIDGID = 1 << 11


class Fopen(IntFlag):
    """FOPEN_*: how the kernel shall treat an open file or folder."""

    DIRECT_IO = 1 << 0
    KEEP_CACHE = 1 << 1
    CACHE_DIR = 1 << 3
    NOFLUSH = 1 << 5


FUSE_OPEN_KILL_SUIDGID = 1 << 0
FUSE_WRITE_KILL_SUIDGID = 1 << 2
