"""Cells that end, signal, multiply or look into processes."""

import time

import pytest

from tests.sandbox.attacks.conftest import only_in_a_container


@pytest.mark.parametrize(
    "code",
    [
        "import os; os._exit(0)",
        "import os; os.abort()",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
        "import os, signal; os.killpg(0, signal.SIGKILL)",
        "import ctypes; ctypes.string_at(0)",
        "import signal, time; signal.alarm(1); time.sleep(5)",
        "import os, threading; threading.Thread(target=os._exit, args=(1,)).start(); threading.Event().wait()",
        "import os; os.execvp('true', ['true'])",
    ],
)
def test_ending_the_repl_costs_its_state_only(attack, code):
    result = attack(code)
    assert result.state_lost
    assert result.error.type == "StateLost"
    assert not attack.after.state_lost


def test_recursion_without_a_limit(attack):
    attack("import sys; sys.setrecursionlimit(10**9)\ndef f(): f.__call__()\nf()")


@pytest.mark.parametrize("signal", ["SIGSTOP", "SIGTSTP", "SIGTTIN"])
def test_stopping_itself_is_a_timeout(attack, signal):
    result = attack(f"import os, signal; os.kill(os.getpid(), signal.{signal})", limit=0.5)
    assert not result.state_lost


def test_killing_the_supervisor_costs_at_most_the_sandbox(attack):
    attack("import os, signal\nfor number in (9, 15, 2, 1, 19): os.kill(os.getppid(), number)\nos._exit(1)")


def test_stopping_the_supervisor_costs_at_most_the_sandbox(attack):
    attack("import os, time\nos.kill(os.getppid(), 19)\ntime.sleep(5)", limit=0.5)


def test_starving_the_supervisor_of_its_limits_costs_at_most_the_sandbox(attack):
    attack(
        "import os, resource, time\n"
        "for name in ('RLIMIT_NOFILE', 'RLIMIT_CPU', 'RLIMIT_AS', 'RLIMIT_DATA'):\n"
        "    resource.prlimit(os.getppid(), getattr(resource, name), (0, 0))\n"
        "time.sleep(0.2)",
        late=True,
    )


def test_a_fork_that_goes_on_with_the_cell_does_not_speak_for_it(attack):
    result = attack(
        "import os, time\nx = os.fork()\nif not x: time.sleep(0.1)\nprint('parent' if x else 'child')\nx > 0"
    )
    assert result.out == "True"
    assert not result.state_lost


def test_many_forks_that_go_on_with_the_cell(attack):
    result = attack("import os\nme = os.getpid()\nfor _ in range(4): os.fork()\nos.getpid() == me")
    assert result.out == "True"


def test_a_late_exit_is_told_with_the_next_cell(sandbox):
    sandbox.execute("x = 1\nimport os, threading\nthreading.Timer(0.2, os._exit, [7]).start()", time_limit=5)
    time.sleep(0.6)
    result = sandbox.execute("'x' in globals()", time_limit=5)
    assert (result.state_lost, result.out) == (True, "False")
    assert "status 7" in result.error.message


def test_daemons_are_ended_with_the_repl(attack):
    code = (
        "import os, subprocess, time\n"
        "subprocess.Popen(['setsid', 'sh', '-c', 'setsid sleep 987 & sleep 988'])\n"
        "time.sleep(0.2)\nos._exit(0)"
    )
    attack(code)
    result = attack("import subprocess; subprocess.run(['pgrep', '-f', 'sleep 98[78]']).returncode")
    assert result.out != "0"


@only_in_a_container
@pytest.mark.parametrize(
    "bomb",
    [
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        "import os\nwhile True:\n    try:\n        if not os.fork(): os.setsid()\n    except BaseException: pass",
        "import subprocess\nsubprocess.run(['sh', '-c', 'b() { b | b & }; b; sleep 60'])",
        "import threading\nwhile True: threading.Thread(target=threading.Event().wait).start()",
    ],
    ids=["fork", "fork-setsid-swallow", "shell", "threads"],
)
def test_bombs(attack, bomb):
    attack(bomb, limit=1.0)


@only_in_a_container
@pytest.mark.parametrize(
    "code",
    [
        "import os; os.kill(1, 9); os.kill(1, 15); os.kill(1, 2); os.kill(1, 17)",
        "import os; [os.kill(1, number) for number in range(1, 65) if number not in (32, 33)]",
        "import ctypes; ctypes.CDLL(None).tgkill(1, 1, 9)",
    ],
)
def test_signals_do_not_reach_the_first_process(attack, code):
    assert not attack(code).state_lost


@only_in_a_container
def test_killing_everything_costs_the_state_only(attack):
    assert attack("import os\ntry: os.kill(-1, 9)\nfinally: os.kill(os.getpid(), 9)").state_lost


@only_in_a_container
@pytest.mark.parametrize(
    "code",
    [
        "open('/proc/1/mem', 'r+b')",
        "open('/proc/1/environ').read()",
        "import os; os.listdir('/proc/1/fd')",
        "open('/proc/1/fd/1', 'w')",
        "open('/proc/1/maps').read()",
        "import os; os.readlink('/proc/1/cwd')",
        "import os; os.pidfd_open(1); os.open('/proc/1/root', 0)",
    ],
)
def test_the_supervisor_cannot_be_read(attack, code):
    assert attack(code).error.type == "PermissionError"


@only_in_a_container
@pytest.mark.parametrize(
    "call", ["ptrace(16, 1, 0, 0)", "process_vm_readv(1, 0, 0, 0, 0, 0)", "syscall(438, 3, 1, 0)"]
)
def test_the_supervisor_cannot_be_traced(attack, call):
    result = attack(f"import ctypes; ctypes.CDLL(None, use_errno=True).{call}")
    assert result.out in ("-1", "0") if "readv" in call else result.out == "-1"
