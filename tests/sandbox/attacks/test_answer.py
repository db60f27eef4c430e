"""Cells that break `answer` or a batch."""

# ruff: noqa: E501 (each hostile cell in one piece)
import pytest

from sandbox.contract import Answer

EVIL_DICT = (
    "class Evil(dict):\n    def get(self, *a): 1 / 0\n    __getitem__ = __contains__ = __iter__ = __len__ = get\n"
    "    def __getattribute__(self, name): raise SystemExit\n"
)


@pytest.mark.parametrize(
    ("code", "content"),
    [
        ("answer = 42", "before"),
        ("answer = None", "before"),
        ("answer = 'text'", "before"),
        ("del answer", "before"),
        ("answer = []", "before"),
        ("answer = {}", ""),
        ("answer.clear()", ""),
        ("answer = {'content': None, 'ready': None}", ""),
        ("answer['content'] = 4.5", "4.5"),
        ("answer['content'] = ['a']", "['a']"),
        ("answer['content'] = b'a'", "b'a'"),
        (EVIL_DICT + "answer = Evil(content='kept', ready=False)", "kept"),
        (
            "class S(str):\n    def __str__(self): 1 / 0\n    __len__ = __getitem__ = __str__\nanswer['content'] = S('kept')",
            "kept",
        ),
        ("class E:\n    def __str__(self): 1 / 0\nanswer['content'] = E()", "before"),
        (
            "class K(str):\n    def __eq__(self, o): raise SystemExit\n    __hash__ = str.__hash__\nanswer = {K('content'): 1}",
            "before",
        ),
        ("answer['content'] = '\\x00\\ud800'", "\x00\ud800"),
    ],
)
def test_answers_of_other_types(sandbox, attack, code, content):
    sandbox.execute("answer['content'] = 'before'", time_limit=5)
    result = attack(code)
    assert result.answer == Answer(content=content, ready=False)
    assert not result.state_lost


@pytest.mark.parametrize(
    ("value", "ready"),
    [("1", True), ("'no'", True), ("[]", False), ("None", False), ("float('nan')", True), ("Odd()", False)],
)
def test_ready_of_odd_truth(attack, value, ready):
    code = f"class Odd:\n    def __bool__(self): 1 / 0\nanswer['content'] = 'kept'; answer['ready'] = {value}"
    assert attack(code).answer == Answer(content="kept", ready=ready)


def test_content_of_a_hundred_megabytes(attack):
    assert len(attack("answer['content'] = 'x' * 10**8", limit=10.0).answer.content) == 1_000_000


def test_content_that_takes_for_ever(attack):
    code = "class E:\n    def __str__(self):\n        while True: pass\nanswer['content'] = E()"
    assert attack(code, limit=0.5).timed_out


def finish(batch):
    for index in range(len(batch.prompts)):
        batch.answer(index, "ok")
    batch.finish("")


@pytest.mark.parametrize(
    "code",
    [
        "llm_batch(['p'] * 100_000)",
        "llm_batch(['x' * 50_000_000])",
        "llm_batch([b'x'])",
        "llm_batch([None] * 3)",
        "llm_batch(5)",
        "llm_batch({'a': 1})",
        "llm_batch(p for p in 'abc')",
        "import itertools; llm_batch(itertools.repeat('p'))",
        "class S(str):\n    def __len__(self): return -1\n    __str__ = __getitem__ = __len__\nllm_batch([S('p')])",
        "llm_batch(['\\x00', '\\ud800', ''])",
        "llm_batch.open(cell=7, has_host=True); llm_batch(['p'])",
        "llm_batch.__dict__.clear()",
        "class P(list):\n    def __iter__(self): return iter([llm_batch(['inner'])[0]])\nllm_batch(P(['x']))",
        "llm_batch([llm_batch([llm_batch(['a'])[0]])[0]])",
        "import threading\nfor _ in range(20): threading.Thread(target=llm_batch, args=(['p'] * 5,)).start()",
    ],
)
def test_hostile_batches(attack, code):
    attack(code, limit=2.0, on_batch=finish)


def test_threads_that_wait_for_a_batch_when_the_cell_ends(attack):
    batches = []
    result = attack(
        "import threading\nfor _ in range(5): threading.Thread(target=llm_batch, args=(['p'],)).start()\n"
        "import time; time.sleep(0.3)",
        on_batch=batches.append,
    )
    assert not result.state_lost
    assert all(batch.cancelled.is_set() for batch in batches)


def test_a_thread_that_asks_in_a_later_cell(sandbox, attack):
    attack("import threading; threading.Timer(0.2, llm_batch, [['late']]).start()", on_batch=finish)
    result = sandbox.execute("import time; time.sleep(0.4); 'undisturbed'", time_limit=5)
    assert (result.out, result.output, result.error) == ("'undisturbed'", "", None)


def test_more_batches_at_a_time_than_are_allowed(attack):
    attack(
        "import threading\nthreading.stack_size(65536)\n"
        "for _ in range(300):\n    try: threading.Thread(target=llm_batch, args=(['p'],)).start()\n    except RuntimeError: break\n"
        "import time; time.sleep(0.2)",
        on_batch=lambda batch: None,
    )
