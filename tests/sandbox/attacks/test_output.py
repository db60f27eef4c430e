"""Cells that flood, break or forge what they print."""

# ruff: noqa: E501 (each hostile cell in one piece)
import pytest

GIGABYTE = 10**9


@pytest.mark.parametrize(
    "code",
    [
        "print('x' * 10**8)",
        "import sys; print('x' * 10**8, file=sys.stderr)",
        "import os\nleft = 10**9\nblock = b'x' * 2**20\nwhile left > 0: left -= os.write(1, block)",
        "import subprocess; subprocess.run('yes xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx | head -c 1000000000', shell=True)",
        "import subprocess; subprocess.run('head -c 300000000 /dev/zero >&2', shell=True)",
        "import subprocess; subprocess.run('head -c 100000000 /dev/urandom', shell=True)",
        "while True: print('x')",
    ],
    ids=["one-line", "stderr", "os-write-1-GB", "subprocess-1-GB", "zeros", "random-bytes", "endless"],
)
def test_floods(attack, code):
    result = attack(code, limit=10.0 if "while True" not in code else 3.0)
    assert len(result.output) <= 20_000
    assert result.output_chars >= 20_000  # more than is kept, also on a busy machine
    assert not result.state_lost


def test_a_flood_from_a_process_left_behind(attack):
    assert attack("import subprocess; p = subprocess.Popen(['yes'])").leftover_processes == 1
    attack("p.kill()")


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.close(1); os.close(2)",
        "import os; os.close(0); os.close(1); os.close(2); print('x')",
        "import sys; sys.stdout.close(); sys.stderr.close()",
        "import sys; sys.stdout = sys.stderr = None",
        "import sys; del sys.stdout, sys.stderr, sys.__stdout__",
        "import sys; sys.stdout = 3; print('x')",
        "import io, sys; sys.stdout = io.StringIO(); print('x')",
        "import sys\nclass Evil:\n    def __getattr__(self, name): raise SystemExit\nsys.stdout = sys.stderr = Evil()",
        "import sys; sys.stdout.buffer.detach() if hasattr(sys.stdout.buffer, 'detach') else sys.stdout.detach()",
        "import os; os.dup2(os.open('/dev/null', os.O_WRONLY), 1)",
        "import os; r, w = os.pipe(); os.dup2(w, 1)",
    ],
)
def test_broken_streams_are_mended(attack, code):
    assert not attack(code).state_lost


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.closerange(0, 4096)",
        "import os\nfor fd in range(3, 100):\n    try: os.dup2(1, fd)\n    except OSError: pass",
        "import os\nfor fd in range(100):\n    try: os.dup2(os.open('/dev/null', os.O_RDWR), fd)\n    except OSError: pass",
        "import os, threading, time\nthreading.Thread(target=lambda: [os.closerange(0, 99) or time.sleep(0.001) for _ in range(300)]).start()",
    ],
)
def test_closing_and_replacing_every_descriptor(attack, code):
    attack(code, late=True)


def test_control_characters_come_as_they_are(attack):
    text = (
        "".join(map(chr, [*range(32), 127, *range(128, 160), 0x2028, 0x202E, 0xFEFF])) + "\x1b]0;title\x07\x1b[2J"
    )
    assert attack(f"print({text!r}, end='')").output == text


def test_daemon_threads_that_print_for_ever(attack):
    result = attack(
        "import sys, threading\ndef chat():\n    while True: print('noise'); print('noise', file=sys.stderr)\n"
        "for _ in range(3): threading.Thread(target=chat, daemon=True).start()"
    )
    assert result.leftover_threads == 3
