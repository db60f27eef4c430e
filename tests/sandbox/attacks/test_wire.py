"""Cells that speak on the REPL's own line, or on any other descriptor that they find."""

# ruff: noqa: E501 (each hostile cell in one piece)
import pytest

FIND_LINE = (
    "import json, os, socket, struct\n"
    "def frame(body): return struct.pack('>I', len(body)) + body\n"
    "def say(data):\n"
    "    for fd in range(100):\n"
    "        try: os.write(fd, data)\n"
    "        except OSError: pass\n"
)


@pytest.mark.parametrize(
    "forgery",
    [
        "say(struct.pack('>I', 2**32 - 1) + b'x' * 1000)",
        "say(b'\\xff' * 100_000)",
        "say(frame(b'not json'))",
        "say(frame(b'[]')); say(frame(b'{}'))",
        "say(frame(b'[' * 500_000))",
        "say(frame(b'{\"t\":' + b'9' * 900_000 + b'}'))",
        'say(frame(b\'{"t":"up"}\') * 1000)',
        'say(frame(b\'{"t":"set"}\'))',
        'say(frame(b\'{"t":"ready","repl":0}\'))',
        'say(frame(b\'{"t":"done"}\'))',
        'say(frame(b\'{"t":"broke","error":"me"}\'))',
        'say(frame(b\'{"t":"done","out":NaN}\'))',
        "say(frame(json.dumps({'t': 'piece', 'text': 'x' * 60_000}).encode()) * 20)",
        "say(frame(json.dumps({'t': 'batch', 'batch': 1, 'cell': 1, 'pieces': [[0, 'x']], 'last': False}).encode()) * 5)",
        "[say(frame(json.dumps({'t': 'batch', 'batch': i, 'cell': 1, 'pieces': [], 'last': True}).encode())) for i in range(999)]",
        "say(frame(json.dumps({'t': 'cancel', 'batch': 7}).encode()))",
        "say(struct.pack('>I', 100) + b'half a frame')",
    ],
)
def test_forged_frames_cost_at_most_the_state(attack, forgery):
    attack(FIND_LINE + forgery)


def test_a_forged_result_is_a_claim_about_its_own_cell_only(attack):
    claim = (
        "claim = {'t': 'done', 'number': 1, 'out': 'forged', 'error': None, 'answer': 'forged', 'ready': True,"
        " 'rebound': '', 'repairs': [], 'variables': [], 'threads': 0}\n"
    )
    result = attack(
        FIND_LINE + claim + "say(frame(json.dumps(claim).encode()))\nimport time; time.sleep(3)", late=True
    )
    assert result.out == "forged"
    assert result.wall_seconds < 3


def test_frames_on_the_output_are_output(attack):
    assert '{"t":"done"}' in attack(FIND_LINE + 'os.write(1, frame(b\'{"t":"done"}\'))').output


def test_passed_descriptors_are_not_taken(attack):
    attack(
        FIND_LINE + "for fd in range(3, 100):\n"
        "    try: socket.send_fds(socket.socket(fileno=os.dup(fd)), [b'\\0\\0\\0\\0'], [1, 2] * 50)\n"
        "    except OSError: pass"
    )


def test_a_line_that_is_not_read(sandbox, attack):
    """Answers of megabytes for a cell that stopped listening do not block the host."""

    def answer_at_length(batch):
        for index in range(len(batch.prompts)):
            batch.answer(index, "x" * 1_000_000)

    attack(
        "import os, threading\nthreading.Timer(0.2, os.kill, [os.getpid(), 19]).start()\nllm_batch(['p'] * 10)",
        limit=1.0,
        on_batch=answer_at_length,
    )


@pytest.mark.parametrize(
    "code",
    [
        "import gc\nfor one in gc.get_objects():\n    if type(one).__name__ in ('Line', 'Repl', 'LlmBatch', 'Splitter'): one.__dict__.clear()",
        "import sys\nfor name, module in list(sys.modules.items()):\n    if name.startswith('inside'): vars(module).clear()",
        "import sys\nframe = sys._getframe()\nwhile frame: frame.f_globals.clear() if 'repl' in frame.f_code.co_filename else 0; frame = frame.f_back",
        "import sys; sys.modules.clear()",
    ],
)
def test_breaking_the_repl_itself_costs_its_state_only(attack, code):
    attack(code)
