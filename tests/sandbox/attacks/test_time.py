"""Cells that will not end."""

# ruff: noqa: E501 (each hostile cell in one piece)
import pytest


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import time; time.sleep(100)",
        "import threading; threading.Event().wait()",
        "import threading\nlock = threading.Lock(); lock.acquire(); lock.acquire()",
        "import subprocess; subprocess.run(['sleep', '100'])",
        "import os; os.system('sleep 100')",
        "import os; r, w = os.pipe(); os.read(r, 1)",
        "llm_batch(['never answered'])",
        "import os; os.waitpid(os.spawnlp(os.P_NOWAIT, 'sleep', 'sleep', '100'), 0)",
        "try:\n    while True: pass\nexcept BaseException: pass\nwhile True: pass",
    ],
)
def test_what_can_be_interrupted_keeps_its_state(attack, code):
    result = attack("x = 1\n" + code, limit=0.4, on_batch=lambda batch: None)
    assert result.timed_out
    assert not result.state_lost


@pytest.mark.parametrize(
    "code",
    [
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "def f():\n    try:\n        while True: pass\n    finally: f()\nf()",
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass",
        "import signal; signal.signal(signal.SIGINT, lambda *_: None)\nwhile True: pass",
        "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass",
        "9 ** 9 ** 9",
        "import re; re.match(r'(a+)+$', 'a' * 40 + 'b')",
        "sum(range(10**12))",
        "10**8 in iter(int, 1)",
        "import itertools; list(itertools.repeat(1)) if 0 else max(itertools.count())",
        "class Evil:\n    def __repr__(self):\n        while True:\n            try:\n                while True: pass\n            except BaseException: pass\nEvil()",
        "import sys\nsys.setswitchinterval(1000)\nimport threading\ndef spin():\n    while True: pass\nthreading.Thread(target=spin).start()\nspin()",
    ],
)
def test_what_cannot_be_interrupted_comes_back_in_time(attack, code):
    assert attack(code, limit=0.4).timed_out


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.time = time.monotonic = time.perf_counter = lambda: 0\nwhile True: pass",
        "import signal; signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01); signal.signal(signal.SIGALRM, lambda *_: None)\nwhile True: pass",
        "import sys; sys.settrace(lambda *a: None)\nwhile True: pass",
    ],
)
def test_clocks_and_alarms_of_the_cell_do_not_matter(attack, code):
    result = attack(code, limit=0.4)
    assert result.timed_out
    assert result.wall_seconds >= 0.4


def test_interrupts_come_to_no_later_cell(sandbox):
    for _ in range(3):
        assert sandbox.execute("while True: pass", time_limit=0.1).timed_out
        result = sandbox.execute("import time; time.sleep(0.6); 1", time_limit=5)
        assert (result.out, result.error) == ("1", None)
