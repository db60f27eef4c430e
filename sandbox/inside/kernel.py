"""Linux system calls that Python's library lacks. On other systems each returns an empty value.

On Linux a process can be timed, measured and hidden from other processes of its user. Elsewhere the process
backend works without that.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Iterable, Iterator

_MEMORY_RESERVE_MB = 32
LINUX = sys.platform == "linux"

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True) if LINUX else None
_TICK = os.sysconf("SC_CLK_TCK") if LINUX else 100


def _prctl(option: int, value: int) -> None:
    if _libc is not None:
        _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def hide_from_same_user() -> None:
    """Denies other processes of the same user ptrace, /proc/self/mem and /proc/self/fd."""
    _prctl(_PR_SET_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Makes orphaned descendants children of this process, which can then find and end them."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def become_expendable() -> None:
    """Makes the REPL child measurable, the OOM killer's first choice, and dead when the supervisor is."""
    _prctl(_PR_SET_DUMPABLE, 1)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def _read(path: str) -> str:
    """Returns a file of /proc. It avoids Python's file objects, which are slower than the kernel."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    parts = []
    try:
        while part := os.read(fd, 65536):
            parts.append(part)
    except OSError:
        pass
    finally:
        os.close(fd)
    return b"".join(parts).decode("ascii", "replace")


def cpu_seconds(pid: int) -> float:
    """Returns the CPU time of a process, in seconds."""
    if not LINUX:
        return 0.0
    try:
        return time.clock_gettime(~pid << 3 | 2)  # another process's clock, see clock_getcpuclockid(3)
    except OSError:
        return 0.0


def waited_cpu_seconds(pid: int) -> float:
    """Returns the CPU time, in seconds, of a process's children that it has waited for."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return sum(map(int, fields[13:15])) / _TICK if len(fields) > 14 else 0.0


def forget_peak_memory(pid: int) -> None:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/clear_refs", "w") as file:
        file.write("5")


def peak_memory(pid: int) -> int:
    """Returns the largest resident size, in bytes, since `forget_peak_memory`."""
    _, _, rest = _read(f"/proc/{pid}/status").partition("VmHWM:")
    return int(rest.split(None, 1)[0]) * 1024 if rest else 0


def _children(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            yield from map(int, _read(f"/proc/{pid}/task/{task}/children").split())


def descendants(pid: int, *, spare: Iterable[int] = ()) -> set[int]:
    """Returns all processes below `pid`, without the trees of those in `spare`."""
    found: set[int] = set()
    spared = set(spare)
    ahead = [pid]
    while ahead:
        below = set(_children(ahead.pop())) - spared - found
        found |= below
        ahead.extend(below)
    return found


def is_zombie(pid: int) -> bool:
    return _read(f"/proc/{pid}/stat").rpartition(")")[2].split()[:1] in ([], ["Z"], ["X"])


def oom_kills() -> int:
    """Returns the number of processes of this container that the OOM killer has ended."""
    told = _read("/sys/fs/cgroup/memory.events") or _read("/sys/fs/cgroup/memory/memory.oom_control")
    for line in told.splitlines():
        name, _, count = line.partition(" ")
        if name == "oom_kill":
            return int(count)
    return 0


def limit_memory(megabytes: int, *, reserve: bool) -> None:
    """Limits the data segment of each process, for the process backend, which has no cgroup."""
    if LINUX:
        hard = (megabytes + _MEMORY_RESERVE_MB) * 2**20
        soft = hard if reserve else megabytes * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
