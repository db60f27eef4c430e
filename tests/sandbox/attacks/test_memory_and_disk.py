"""Cells that eat memory, disk or descriptors."""

import pytest

from tests.sandbox.attacks.conftest import only_in_a_container


@pytest.mark.parametrize(
    "code",
    [
        "x = bytearray(10**12)",
        "x = []\nwhile True: x.append(bytearray(10**7))",
        "x = 'a'\nwhile True: x += x",
        "x = [0] * 10**11",
        "[bytearray(10**7) for _ in range(10**4)]",
    ],
)
def test_memory_bombs(attack, code):
    result = attack(code, limit=10.0)
    assert result.error.type in ("MemoryError", "StateLost")


def test_memory_that_is_kept_can_be_set_free(sandbox):
    for _ in range(2):
        sandbox.execute("x = []\nwhile True: x.append(bytearray(10**6))", time_limit=10)
        assert sandbox.execute("x = None; 'freed'", time_limit=5).out == "'freed'"


@only_in_a_container
def test_running_out_of_memory_is_named(attack):
    result = attack("import mmap\nx = mmap.mmap(-1, 2**30)\nfor i in range(0, 2**30, 4096): x[i] = 1", limit=20.0)
    assert "out of memory" in result.error.message


@only_in_a_container
def test_a_subprocess_that_eats_memory_costs_itself(attack):
    attack(
        "import subprocess, sys\nsubprocess.run([sys.executable, '-c', \"x = b'x' * 10**9\"]).returncode",
        limit=20.0,
    )


@only_in_a_container
def test_a_full_disk(attack):
    result = attack("with open('full', 'wb') as file:\n    while True: file.write(bytes(2**20))", limit=20.0)
    assert "No space left" in result.error.message
    assert attack("import os; os.remove('full'); open('x', 'w').write('abc')").out == "3"


@only_in_a_container
@pytest.mark.parametrize(
    "path", ["/x", "/opt/rlm-sandbox/inside/repl.py", "/etc/passwd", "/usr/lib/x", "/proc/sys/kernel/core_pattern"]
)
def test_nothing_but_the_scratch_space_can_be_written(attack, path):
    assert attack(f"open({path!r}, 'w')").error.type in ("OSError", "PermissionError")


@only_in_a_container
def test_shared_memory_is_bounded(attack):
    attack("with open('/dev/shm/x', 'wb') as file:\n    while True: file.write(bytes(2**20))", limit=20.0)


def test_all_descriptors_used_up(attack):
    result = attack("import os\nkept = []\nwhile True: kept.append(os.open('/dev/null', 0))", limit=20.0)
    assert result.error.type == "OSError"


def test_a_deep_structure(attack):
    attack("x = []\nfor _ in range(10**6): x = [x]\nanswer['content'] = x", limit=10.0)


def test_a_million_variables(attack):
    result = attack("for i in range(10**6): globals()[f'v{i}'] = i", limit=20.0)
    assert len(result.variables) <= 100
