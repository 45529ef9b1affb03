"""The native transport's layouts against the kernel's own header, as the C compiler reads it (A1)."""

import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from makfs.vfs.native import abi

HEADER = Path("/usr/include/linux/fuse.h")
GCC = shutil.which("gcc")
needs_compiler = pytest.mark.skipif(
    GCC is None or not HEADER.exists(), reason="gcc or linux/fuse.h is not here to be asked"
)

TIMES = "atime mtime ctime atimensec mtimensec ctimensec"
VERSION = "major minor max_readahead flags"
ATTR = f"ino size blocks {TIMES} mode nlink uid gid rdev blksize flags"
IN_ATTR = " ".join(f"attr.{name}" for name in ATTR.split())
ENTRY = f"nodeid generation entry_valid attr_valid entry_valid_nsec attr_valid_nsec {IN_ATTR}"
LAYOUTS = {
    "IN_HEADER": ("fuse_in_header", "len opcode unique nodeid uid gid pid total_extlen padding"),
    "OUT_HEADER": ("fuse_out_header", "len error unique"),
    "FORGET_IN": ("fuse_forget_in", "nlookup"),
    "FORGET_ONE": ("fuse_forget_one", "nodeid nlookup"),
    "BATCH_FORGET_IN": ("fuse_batch_forget_in", "count dummy"),
    "SETATTR_IN": (
        "fuse_setattr_in",
        f"valid padding fh size lock_owner {TIMES} mode unused4 uid gid unused5",
    ),
    "MKNOD_IN": ("fuse_mknod_in", "mode rdev umask padding"),
    "MKDIR_IN": ("fuse_mkdir_in", "mode umask"),
    "RENAME_IN": ("fuse_rename_in", "newdir"),
    "RENAME2_IN": ("fuse_rename2_in", "newdir flags padding"),
    "LINK_IN": ("fuse_link_in", "oldnodeid"),
    "OPEN_IN": ("fuse_open_in", "flags open_flags"),
    "CREATE_IN": ("fuse_create_in", "flags mode umask open_flags"),
    "READ_IN": ("fuse_read_in", "fh offset size read_flags lock_owner flags padding"),
    "WRITE_IN": ("fuse_write_in", "fh offset size write_flags lock_owner flags padding"),
    "RELEASE_IN": ("fuse_release_in", "fh flags release_flags lock_owner"),
    "FLUSH_IN": ("fuse_flush_in", "fh unused padding lock_owner"),
    "FSYNC_IN": ("fuse_fsync_in", "fh fsync_flags padding"),
    "GETXATTR_IN": ("fuse_getxattr_in", "size padding"),
    "INTERRUPT_IN": ("fuse_interrupt_in", "unique"),
    "INIT_OUT": (
        "fuse_init_out",
        f"{VERSION} max_background congestion_threshold max_write time_gran max_pages map_alignment flags2",
    ),
    "ATTR": ("fuse_attr", ATTR),
    "ENTRY_OUT": ("fuse_entry_out", ENTRY),
    "ATTR_OUT": ("fuse_attr_out", f"attr_valid attr_valid_nsec dummy {IN_ATTR}"),
    "OPEN_OUT": ("fuse_open_out", "fh open_flags padding"),
    "WRITE_OUT": ("fuse_write_out", "size padding"),
    "STATFS_OUT": (
        "fuse_statfs_out",
        "st.blocks st.bfree st.bavail st.files st.ffree st.bsize st.namelen st.frsize st.padding",
    ),
    "GETXATTR_OUT": ("fuse_getxattr_out", "size padding"),
    "DIRENT": ("fuse_dirent", "ino off namelen type"),
    "DIRENTPLUS": (
        "fuse_direntplus",
        " ".join(f"entry_out.{name}" for name in ENTRY.split())
        + " dirent.ino dirent.off dirent.namelen dirent.type",
    ),
    "NOTIFY_INVAL_INODE_OUT": ("fuse_notify_inval_inode_out", "ino off len"),
    "NOTIFY_INVAL_ENTRY_OUT": ("fuse_notify_inval_entry_out", "parent namelen flags"),
    "NOTIFY_STORE_OUT": ("fuse_notify_store_out", "nodeid offset size padding"),
    "NOTIFY_DELETE_OUT": ("fuse_notify_delete_out", "parent child namelen padding"),
}
SHORTENED = {  # the start of a struct that older kernels send, or send without more being agreed on
    "INIT_IN": ("fuse_init_in", "major minor max_readahead flags", "offsetof(struct fuse_init_in, flags2)"),
    "SETXATTR_IN": ("fuse_setxattr_in", "size flags", "FUSE_COMPAT_SETXATTR_IN_SIZE"),
}


def ask(expressions: list[str], folder: Path) -> list[int]:
    """Return what C expressions about the header are."""
    assert GCC is not None
    prints = "".join(f'printf("%lld\\n", (long long)({each}));' for each in expressions)
    source = folder / "ask.c"
    source.write_text(
        "#include <linux/fuse.h>\n#include <stddef.h>\n#include <stdio.h>\n"
        f"int main(void) {{ {prints} return 0; }}\n"
    )
    program = folder / "ask"
    subprocess.run([GCC, "-o", str(program), str(source)], check=True)
    said = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout
    return [int(line) for line in said.split()]


def offsets(layout: struct.Struct) -> list[int]:
    """Return where each field of a layout starts."""
    found, at = [], 0
    for count, code in re.findall(r"(\d*)([a-zA-Z])", layout.format.lstrip("=")):
        if code == "x":
            at += int(count or 1)
            continue
        found.append(at)
        at += struct.calcsize("=" + code)
    assert at == layout.size
    return found


def test_every_layout_is_compared() -> None:
    layouts = {name for name, value in vars(abi).items() if isinstance(value, struct.Struct)}
    assert layouts == {*LAYOUTS, *SHORTENED, "INIT_IN_FLAGS2"}


@needs_compiler
def test_layouts_have_the_sizes_and_offsets_of_the_header(tmp_path: Path) -> None:
    expressions: list[str] = []
    expected: list[tuple[str, int]] = []
    for name, (c_name, fields) in LAYOUTS.items():
        layout: struct.Struct = getattr(abi, name)
        size = f"offsetof(struct {c_name}, name)" if name == "DIRENT" else f"sizeof(struct {c_name})"
        size = "offsetof(struct fuse_direntplus, dirent.name)" if name == "DIRENTPLUS" else size
        expressions.append(size)
        expected.append((f"size of {name}", layout.size))
        starts = offsets(layout)
        assert len(starts) == len(fields.split()), name
        for field, start in zip(fields.split(), starts, strict=True):
            expressions.append(f"offsetof(struct {c_name}, {field})")
            expected.append((f"{name}.{field}", start))
    assert list(zip([what for what, _ in expected], ask(expressions, tmp_path), strict=True)) == expected


@needs_compiler
def test_shortened_layouts_end_where_the_header_says(tmp_path: Path) -> None:
    for name, (c_name, fields, size) in SHORTENED.items():
        layout: struct.Struct = getattr(abi, name)
        asked = [size, *(f"offsetof(struct {c_name}, {field})" for field in fields.split())]
        assert ask(asked, tmp_path) == [layout.size, *offsets(layout)], name


@needs_compiler
def test_numbers_are_the_headers(tmp_path: Path) -> None:
    known = HEADER.read_text()
    names: dict[str, int] = {}
    for group, prefix in (
        (abi.Opcode, "FUSE_"),
        (abi.NotifyCode, "FUSE_NOTIFY_"),
        (abi.Init, "FUSE_"),
        (abi.Fattr, "FATTR_"),
        (abi.Fopen, "FOPEN_"),
    ):
        names |= {f"{prefix}{member.name}": int(member) for member in group}
    names |= {name: getattr(abi, name) for name in ("FUSE_OPEN_KILL_SUIDGID", "FUSE_WRITE_KILL_SUIDGID")}
    there = [name for name in names if re.search(rf"\b{name}\b", known)]
    assert len(there) >= len(names) - 1, "only what is newer than the header may be missing in it"
    assert dict(zip(there, ask(there, tmp_path), strict=True)) == {name: names[name] for name in there}
