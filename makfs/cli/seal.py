"""What the kernel keeps from a run's program where namespaces do not reach: keyrings, abstract sockets.

Z1  The caller's keyrings (keyrings(7)) cannot be read or changed: a seccomp filter answers EPERM, to calls of
    the machine's own kind, of its 32-bit kind and of x32. A machine whose numbers are not known has none.
Z2  An abstract socket (unix(7)) that was made outside cannot be reached, though the network is shared:
    Landlock keeps it (landlock(7), Linux 6.12). Older kernels do not; nothing else changes there.
"""

import os
import struct
from collections.abc import Mapping, Sequence

_ALLOW, _EPERM = 0x7FFF0000, 0x00050001  # seccomp(2): SECCOMP_RET_ALLOW; SECCOMP_RET_ERRNO with EPERM
_LOAD, _EQUAL, _AND, _RETURN = 0x20, 0x15, 0x54, 0x06  # bpf_common.h, of 32-bit words
_NUMBER_AT, _ARCH_AT = 0, 4  # struct seccomp_data
_X32 = 0x40000000
_KINDS: Mapping[str, Sequence[tuple[int, tuple[int, int, int]]]] = {
    # audit(7)'s name of a kind of calls, and its numbers of add_key, request_key and keyctl
    "x86_64": ((0xC000003E, (248, 249, 250)), (0x40000003, (286, 287, 288))),
    "aarch64": ((0xC00000B7, (217, 218, 219)), (0x40000028, (309, 310, 311))),
    "riscv64": ((0xC00000F3, (217, 218, 219)),),
}
_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # the same on every machine
_SCOPE_ABSTRACT = 1
_SCOPES_SINCE = 6  # of Landlock's interface
_PR_SET_NO_NEW_PRIVS = 38


def key_filter(machine: str) -> bytes:
    """Return the seccomp filter (Z1), b"" where the numbers of calls are not known."""
    kinds = _KINDS.get(machine, ())
    program: list[tuple[int, int, int, int]] = [(_LOAD, 0, 0, _ARCH_AT)]
    for kind, numbers in kinds:
        body = [(_LOAD, 0, 0, _NUMBER_AT), (_AND, 0, 0, 0xFFFFFFFF ^ _X32)]
        for left, number in enumerate(reversed(numbers)):
            body.insert(2, (_EQUAL, left + 1, 0, number))
        body += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _EPERM)]
        program += [(_EQUAL, 0, len(body), kind), *body]
    program.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *each) for each in program) if kinds else b""


def close_abstract_sockets() -> bool:
    """Keep this process, and what it starts, from abstract sockets of others (Z2); tell whether that is so.

    It cannot be taken back. A setuid program that is started then has no more rights than its caller.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    call = libc.syscall
    call.restype = ctypes.c_long
    if call(ctypes.c_long(_CREATE_RULESET), None, ctypes.c_long(0), ctypes.c_long(1)) < _SCOPES_SINCE:
        return False
    rules = struct.pack("=QQQ", 0, 0, _SCOPE_ABSTRACT)
    fd = call(ctypes.c_long(_CREATE_RULESET), rules, ctypes.c_long(len(rules)), ctypes.c_long(0))
    if fd < 0:
        return False
    try:
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return bool(call(ctypes.c_long(_RESTRICT_SELF), ctypes.c_long(fd), ctypes.c_long(0)) == 0)
    finally:
        os.close(fd)
