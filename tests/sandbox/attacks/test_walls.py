"""Cells that look for a way out of the container. The process backend has no such walls."""

# ruff: noqa: E501 (each hostile cell in one piece)
import pytest

from tests.sandbox.attacks.conftest import only_in_a_container

pytestmark = only_in_a_container


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.getaddrinfo('example.com', 80)",
        "import socket; socket.create_connection(('1.1.1.1', 53), timeout=2)",
        "import socket; socket.create_connection(('169.254.169.254', 80), timeout=2)",
        "import socket; socket.create_connection(('172.17.0.1', 2375), timeout=2)",
        "import socket; socket.create_connection(('::1', 22), timeout=2)",
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)",
        "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'x', ('8.8.8.8', 53))",
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/var/run/docker.sock')",
        "import urllib.request; urllib.request.urlopen('http://example.com', timeout=2)",
    ],
)
def test_there_is_no_network(attack, code):
    error = attack(code, limit=5.0).error
    assert error.type in (
        "gaierror",
        "OSError",
        "PermissionError",
        "URLError",
        "FileNotFoundError",
        "ConnectionRefusedError",
    )


def test_only_the_loopback_interface_is_there(attack):
    assert attack("import socket; [name for _, name in socket.if_nameindex()]").out == "['lo']"


def test_no_capabilities_and_no_way_to_get_any(attack):
    code = "status = open('/proc/self/status').read()\n[line.split()[1] for line in status.splitlines() if line[:6] in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewP')]"
    assert attack(code).out == repr(["0" * 16] * 5 + ["1"])


def test_it_is_not_root(attack):
    assert attack("import os; os.getresuid() + os.getresgid()").out == "(65500, 65500, 65500, 65500, 65500, 65500)"


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.setuid(0)",
        "import os; os.chroot('/tmp')",
        "import os; os.mknod('disk', 0o60600, os.makedev(8, 0))",
        "import os; os.setpriority(os.PRIO_PROCESS, 0, -10)",
        "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))",
        "import time; time.clock_settime(time.CLOCK_REALTIME, 0)",
        "import socket; socket.sethostname('x')",
        "import os; os.unshare(os.CLONE_NEWUSER) if hasattr(os, 'unshare') else 1 / 0",
    ],
)
def test_privileged_calls_fail(attack, code):
    assert attack(code).error.type in ("PermissionError", "OSError", "ZeroDivisionError")


@pytest.mark.parametrize(
    "call",
    [
        "unshare(0x10000000)",
        "mount(0, b'/tmp', b'tmpfs', 0, 0)",
        "syscall(323, 1)",
        "syscall(321, 0, 0, 0)",
        "syscall(246, 0, 0, 0, 0)",
    ],
)
def test_privileged_system_calls_fail(attack, call):
    """unshare, mount, userfaultfd, bpf, kexec_load."""
    assert attack(f"import ctypes; ctypes.CDLL(None).{call}").out == "-1"


def test_nothing_of_the_host_is_mounted(attack):
    code = "[line.split()[4] for line in open('/proc/self/mountinfo') if line.split()[4] not in ('/etc/resolv.conf', '/etc/hostname', '/etc/hosts')]"
    mounts = eval(attack(code).out)
    assert all(mount.startswith(("/proc", "/sys", "/dev")) or mount in ("/", "/tmp") for mount in mounts)


def test_other_containers_are_not_seen(attack, start):
    start()
    assert int(attack("import os; sum(name.isdigit() for name in os.listdir('/proc'))").out) <= 3


def test_set_user_id_programs_do_not_help(attack):
    code = "import os, shutil, subprocess\nsu = shutil.which('su')\nsubprocess.run([su, '-c', 'id'], stdin=subprocess.DEVNULL, timeout=5).returncode if su else 1"
    assert attack(code, limit=8.0).out != "0"


def test_clock_and_randomness_are_there(attack):
    assert attack("import os, time; time.time() > 1.7e9 and os.urandom(8) != os.urandom(8)").out == "True"
