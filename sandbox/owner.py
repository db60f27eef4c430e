"""The owner of a sandbox: this process, named so that another process can tell whether it is alive.

Process ids are reused, so the name includes the boot and the start time. They are valid only in their namespace,
so the host's name includes the namespace.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Owner:
    host: str
    boot: str
    pid: int
    started: str

    def __str__(self) -> str:
        return f"{self.host}/{self.boot}/{self.pid}/{self.started}"

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        host, _, rest = text.partition("/")
        boot, _, rest = rest.partition("/")
        pid, _, started = rest.partition("/")
        return cls(host, boot, int(pid), started) if pid.isdigit() else None

    def is_dead(self) -> bool:
        """Returns whether the owner is certainly dead. An owner on another host, or one that cannot be looked up,
        counts as alive.
        """
        if self.host != _host():
            return False
        if self.boot != _boot():
            return True
        if not self.started:
            return False
        return _started(self.pid) != self.started


def me() -> Owner:
    return Owner(host=_host(), boot=_boot(), pid=os.getpid(), started=_started(os.getpid()))


def _host() -> str:
    try:
        namespace = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        namespace = 0
    return f"{socket.gethostname()}-{namespace}"


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Returns the start time of a process, in ticks since boot; "" if there is no such process or no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]
