"""Becomes a program of PostgreSQL: as a user that it accepts, and ended by the kernel when the bridge is gone.

Run as a script: `_shim.py PARENT_PID UID REACH PROGRAM ARGUMENT…`; UID is -1 to stay who we are. PostgreSQL refuses to
run as root. With REACH 1 the other user keeps the one capability by which it gets to files below a folder that is
root's alone, such as root's home; nobody's permissions are changed for it.
"""

import ctypes
import os
import pwd
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
CAPABILITY_VERSION_3 = 0x20080522


def main() -> None:
    """Never returns."""
    parent, uid, reach, program, *arguments = sys.argv[1:]
    if int(uid) >= 0:
        become(int(uid), keep_reach=reach == "1")
    # A change of user clears this wish, so it is made after it.
    prctl(PR_SET_PDEATHSIG, signal.SIGINT)
    if os.getppid() != int(parent):
        sys.exit("the bridge is gone")
    os.execv(program, [program, *arguments])  # noqa: S606  (a list of our own, and no shell is wanted)


def become(uid: int, *, keep_reach: bool) -> None:
    """Another user without groups, with at most one capability left."""
    capability = reaching_capability() if keep_reach else None
    prctl(PR_SET_KEEPCAPS, 1 if capability is not None else 0)
    os.setgroups([])
    gid = pwd.getpwuid(uid).pw_gid
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if capability is not None:
        mask = 1 << capability
        capset(effective=mask, permitted=mask, inheritable=mask)
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)


def reaching_capability() -> int | None:
    """The weakest one we have that passes closed folders; containers often have the second only."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    line = next(line for line in lines if line.startswith("CapPrm:"))
    permitted = int(line.split()[1], 16)
    return next((c for c in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE) if permitted >> c & 1), None)


def capset(*, effective: int, permitted: int, inheritable: int) -> None:
    """The kernel's call; sets of the first 32 capabilities."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(effective, permitted, inheritable, 0, 0, 0)
    check(ctypes.CDLL(None, use_errno=True).capset(header, data), "capset")


def prctl(option: int, value: int, further: int = 0) -> None:
    """The kernel's call."""
    numbers = [ctypes.c_ulong(number) for number in (value, further, 0, 0)]
    check(ctypes.CDLL(None, use_errno=True).prctl(option, *numbers), "prctl")


def check(result: int, call: str) -> None:
    """
    Raises:
        OSError: the call failed.
    """
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{call}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
