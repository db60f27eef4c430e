"""The contract (sandbox/contract.py), tested on each backend."""

import hashlib
import threading
import time
from contextlib import suppress

import pytest

from sandbox.contract import Answer, Limits, SandboxError, Variable
from sandbox.inside import frame_checks
from tests.sandbox.conftest import SMALL

LIMIT = 10.0
"""Seconds: for cells that have nothing to do with time."""


def run(sandbox, code, *, limit=LIMIT, **callbacks):
    return sandbox.execute(code, time_limit=limit, **callbacks)


def answer_all(batch):
    for index, prompt in enumerate(batch.prompts):
        batch.answer(index, prompt.upper())
    batch.finish(f"{len(batch.prompts)} calls")


class TestState:
    def test_variables_functions_and_imports_stay(self, sandbox):
        run(sandbox, "import math\nx = 20\ndef twice(n): return 2 * n")
        assert run(sandbox, "twice(x) + math.floor(2.5)").out == "42"

    def test_input_data_is_a_variable(self, start):
        sandbox = start()
        sandbox.load({"context": "some text", "other": ""})
        assert run(sandbox, "context, other").out == "('some text', '')"

    def test_input_data_of_many_characters_arrives_whole(self, start):
        text = "aé\x00\ud800😀\n" * 500_000
        sandbox = start(Limits(memory_mb=512))
        sandbox.load({"context": text})
        code = "import hashlib; len(context), hashlib.sha256(context.encode('utf-8', 'surrogatepass')).hexdigest()"
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        assert run(sandbox, code).out == repr((len(text), digest))

    def test_without_load_it_is_a_plain_python_tool(self, start):
        names = run(start(), "sorted(name for name in globals() if not name.startswith('_'))")
        assert names.out == "[]"

    def test_classes_of_a_cell_can_be_pickled(self, sandbox):
        run(sandbox, "class Point:\n    x = 1")
        assert run(sandbox, "import pickle; pickle.loads(pickle.dumps(Point())).x").out == "1"

    def test_a_sandbox_is_not_another(self, start):
        first, second = start(), start()
        run(first, "x = 1; open('note', 'w').write('mine')")
        assert run(second, "import os; 'x' in globals(), os.path.exists('note')").out == "(False, False)"

    def test_sets_have_the_same_order_in_every_sandbox(self, start):
        first, second = start(), start()
        code = "list(set('a rollout that is executed again goes the same way'.split()))"
        assert run(first, code).out == run(second, code).out


class TestSource:
    """Cells as models write them."""

    @pytest.mark.parametrize(
        ("code", "out", "repairs"),
        [
            ("```python\nx = 3\nx\n```", "3", ("code_fence",)),
            ("```\n4", "4", ("code_fence",)),
            ("~~~py\ny = 1\n~~~\n\n~~~py\ny + 1\n~~~", "2", ("code_fence",)),
            ("    x = 5\n    x", "5", ("indentation",)),
            ("  import re\nre.escape('a')", "'a'", ("indentation",)),
            ("\ufeff6", "6", ("byte_order_mark",)),
            ("\ufeff```repl\n  7\n```", "7", ("byte_order_mark", "code_fence", "indentation")),
            ("    text = '''a\n    b'''\n    text", r"'a\n    b'", ("indentation",)),
            ("text = '''\n```\n'''\ntext", r"'\n```\n'", ()),
            ("a = (5\n  % 3)\na", "2", ()),
        ],
    )
    def test_it_is_repaired_where_it_would_not_compile(self, sandbox, code, out, repairs):
        result = run(sandbox, code)
        assert (result.out, result.repairs, result.error) == (out, repairs, None)

    @pytest.mark.parametrize(
        "code", ["Here it is:\n```python\n1\n```", "if True:\n  1\n else:\n  2", "    x = 1\nelse:\n    2", "f("]
    )
    def test_what_cannot_be_repaired_is_an_error_of_the_cell_as_written(self, sandbox, code):
        result = run(sandbox, code)
        assert result.error.type in ("SyntaxError", "IndentationError")
        assert result.repairs == ()

    def test_tracebacks_of_repaired_cells_have_the_lines_as_written(self, sandbox):
        fenced = run(sandbox, "```python\nx = 0\n\n1 / x\n```").error.traceback
        indented = run(sandbox, "    x = 0\n    1 / x").error.traceback
        assert "line 4" in fenced
        assert "line 2" in indented
        assert "1 / x" in fenced
        assert "1 / x" in indented

    @pytest.mark.parametrize(
        ("code", "out"), [("5;", None), ("5; # quiet", None), ("(5);", None), ("'5;'", "'5;'")]
    )
    def test_a_semicolon_hides_the_value(self, sandbox, code, out):
        assert run(sandbox, code).out == out

    def test_await_works_outside_functions(self, sandbox):
        code = "import asyncio\nasync def twice(n):\n    await asyncio.sleep(0.01)\n    return 2 * n\n"
        assert run(sandbox, code + "await asyncio.gather(twice(1), twice(2))").out == "[2, 4]"
        assert run(sandbox, "task = asyncio.create_task(twice(4)); await twice(3)").out == "6"
        assert run(sandbox, "await task").out == "8"
        assert run(sandbox, "asyncio.run(twice(5))").out == "10"

    def test_an_await_is_interrupted_at_the_limit_and_does_not_go_on_later(self, sandbox):
        run(sandbox, "import asyncio\nseen = []")
        slow = run(sandbox, "await asyncio.sleep(0.6)\nseen.append(1)", limit=0.3)
        assert slow.timed_out
        assert not slow.state_lost
        assert run(sandbox, "await asyncio.sleep(0.6)\nseen").out == "[]"


class TestOutput:
    def test_stdout_and_stderr_come_in_their_order(self, sandbox):
        code = (
            "import os, subprocess, sys\n"
            "print('1', end=' ')\nprint('2', end=' ', file=sys.stderr)\nos.write(1, b'3 ')\n"
            "subprocess.run(['sh', '-c', 'echo 4; echo 5 >&2'])\nprint('6')"
        )
        assert run(sandbox, code).output == "1 2 3 4\n5\n6\n"

    def test_the_last_expression_is_shown(self, sandbox):
        assert run(sandbox, "x = [1]\nx").out == "[1]"

    @pytest.mark.parametrize("code", ["x = 1", "None", "", "# nothing", "for x in []: x"])
    def test_nothing_is_shown_where_there_is_no_value(self, sandbox, code):
        assert run(sandbox, code).out is None

    def test_a_long_output_keeps_head_and_tail(self, start):
        result = run(start(Limits(output_chars=1000)), "print('a' * 5000 + 'b' * 5000, end='')")
        assert result.output == "a" * 500 + "b" * 500
        assert result.output_chars == 10_000

    def test_output_can_be_followed_while_the_cell_runs(self, sandbox):
        heard = threading.Event()

        def listen(text):
            if "begun" in text:
                heard.set()

        def wait_for_listener(batch):
            batch.finish("heard" if heard.is_set() else "not heard")

        code = "import time\nprint('begun')\ntime.sleep(0.2)\nllm_batch(['?'])"
        result = run(sandbox, code, on_output=listen, on_batch=wait_for_listener)
        assert result.output == "begun\nheard\n"

    @pytest.mark.parametrize(
        "text", ["\x00", "\ud800", "\udfff x", "\x1b[31m", "é😀", "\r\n\t\x0b", "".join(map(chr, range(256)))]
    )
    def test_every_character_survives(self, sandbox, text):
        result = run(sandbox, f"print({text!r}, end='')\n{text!r}")
        assert (result.output, result.out) == (text, repr(text))

    def test_invalid_bytes_are_escaped(self, sandbox):
        assert run(sandbox, "import os; _ = os.write(1, b'a\\xff\\xed\\xa0\\x80b')").output == "a\\xff\ud800b"

    def test_leftovers_are_reported_and_stay_out_of_the_next_cell(self, sandbox):
        code = (
            "import subprocess, threading, time\n"
            "def chatter():\n    while True:\n        print('thread'); time.sleep(0.01)\n"
            "threading.Thread(target=chatter, daemon=True).start()\n"
            "process = subprocess.Popen(['sh', '-c', 'while true; do echo process; sleep 0.01; done'])"
        )
        result = run(sandbox, code)
        assert result.leftover_threads == 1
        assert result.leftover_processes >= 1
        result = run(sandbox, "time.sleep(0.1)\nprint('mine')\nprocess.poll()")
        assert (result.output, result.out, result.leftover_threads) == ("mine\n", None, 0)


class TestErrors:
    def test_a_traceback_has_only_the_users_frames(self, sandbox):
        error = run(sandbox, "def f():\n    return 1 / 0\nf()").error
        assert (error.type, error.message) == ("ZeroDivisionError", "division by zero")
        assert 'File "<cell 1>", line 3, in <module>' in error.traceback
        assert "return 1 / 0" in error.traceback
        assert "inside" not in error.traceback

    def test_the_state_survives_an_error(self, sandbox):
        run(sandbox, "x = 1\nraise ValueError('no')")
        assert run(sandbox, "x").out == "1"

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            ("1 +", "SyntaxError"),
            ("'\\x00' + 1", "TypeError"),
            ("import sys; sys.exit(3)", "SystemExit"),
            ("raise KeyboardInterrupt", "KeyboardInterrupt"),
            ("input()", "EOFError"),
            ("def f(): f()\nf()", "RecursionError"),
            ("(" * 500 + ")" * 500, "SyntaxError"),
        ],
    )
    def test_errors_have_their_type(self, sandbox, code, kind):
        result = run(sandbox, code)
        assert result.error.type == kind
        assert not result.timed_out
        assert run(sandbox, "1").out == "1"

    @pytest.mark.parametrize(
        ("code", "advice"),
        [
            ("!ls -la", "Shell lines do not work here"),
            ("files = !ls", "Shell lines do not work here"),
            ("%%bash\nls", "Shell lines do not work here"),
            ("x = 1\n%pip install numpy", "Packages cannot be installed here"),
            ("!python -m pip install numpy", "Packages cannot be installed here"),
            ("```python\n!pip3 install numpy\n```", "Packages cannot be installed here"),
            ("%timeit sum(range(10))", "IPython's magics do not work here"),
        ],
    )
    def test_lines_for_a_shell_or_ipython_are_answered_with_advice(self, sandbox, code, advice):
        error = run(sandbox, code).error
        assert (error.type, error.message.startswith(advice)) == ("SyntaxError", True)
        assert advice in error.traceback

    def test_a_cell_with_a_nul_is_an_error(self, sandbox):
        assert run(sandbox, "x = \x00").error.type in ("SyntaxError", "ValueError")  # it depends on the Python

    def test_a_cell_that_is_too_long_is_refused(self, sandbox):
        assert "at most" in run(sandbox, "#" * 1_000_001).error.message
        assert run(sandbox, "1" + "#" * 999_999).out == "1"


class TestTime:
    def test_an_interrupted_cell_keeps_state_and_output(self, sandbox):
        result = run(sandbox, "x = 1\nprint('before')\nwhile True: pass", limit=0.3)
        assert (result.timed_out, result.state_lost, result.output) == (True, False, "before\n")
        assert result.error.type == "KeyboardInterrupt"
        assert "time limit of 0.3 s" in result.error.message
        assert run(sandbox, "x").out == "1"

    def test_a_cell_that_cannot_be_interrupted_costs_the_state_only(self, start):
        sandbox = start()
        sandbox.load({"context": "text"})
        run(sandbox, "x = 1; answer['content'] = 'so far'")
        code = (
            "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})\n"
            "print('on')\nwhile True: pass"
        )
        began = time.monotonic()
        result = run(sandbox, code, limit=0.3)
        assert time.monotonic() - began < 20
        assert (result.timed_out, result.state_lost, result.output) == (True, True, "on\n")
        assert result.error.type == "StateLost"
        assert result.answer == Answer(content="so far", ready=False)
        assert run(sandbox, "context, answer, 'x' in globals()").out == (
            "('text', {'content': 'so far', 'ready': False}, False)"
        )

    def test_what_runs_in_the_foreground_is_interrupted_too(self, sandbox):
        result = run(sandbox, "import subprocess\nx = 1\nsubprocess.run(['sleep', '60'])", limit=0.3)
        assert (result.timed_out, result.state_lost) == (True, False)
        assert result.leftover_processes == 0
        assert run(sandbox, "x").out == "1"

    def test_time_and_memory_are_measured(self, start):
        sandbox = start(Limits())
        code = (
            "import time\nx = b'x' * 100_000_000\n"
            "end = time.process_time() + 0.1\nwhile time.process_time() < end: pass"
        )
        result = run(sandbox, code)
        assert result.wall_seconds >= result.cpu_seconds * 0.5 > 0.05
        assert result.peak_memory_bytes > 100_000_000
        assert run(sandbox, "del x").peak_memory_bytes > 100_000_000
        assert run(sandbox, "1").peak_memory_bytes < 100_000_000


class TestAnswer:
    def test_it_begins_empty(self, sandbox):
        assert run(sandbox, "answer").out == "{'content': '', 'ready': False}"

    def test_it_is_told_after_each_cell(self, sandbox):
        assert run(sandbox, "answer['content'] = 'a'").answer == Answer(content="a", ready=False)
        assert run(sandbox, "answer['ready'] = True").answer == Answer(content="a", ready=True)

    def test_a_long_one_arrives_whole(self, sandbox):
        assert run(sandbox, "answer['content'] = '\\ud800' * 1_000_000").answer.content == "\ud800" * 1_000_000

    def test_a_longer_one_is_cut(self, sandbox):
        content = run(sandbox, "answer['content'] = 'x' * 1_000_001").answer.content
        assert len(content) == frame_checks.MAX_ANSWER
        assert content.endswith(" […]")

    @pytest.mark.parametrize("said", ["False", "false ", "0", "", "None"])
    def test_a_text_that_says_no_is_not_ready(self, sandbox, said):
        assert not run(sandbox, f"answer['ready'] = {said!r}").answer.ready

    @pytest.mark.parametrize("said", ["True", "yes", "no"])
    def test_other_texts_are_ready(self, sandbox, said):
        assert run(sandbox, f"answer['ready'] = {said!r}").answer.ready

    @pytest.mark.parametrize(
        ("code", "kind"), [("answer = '42'", "str"), ("answer = [1]", "list"), ("del answer", "nothing")]
    )
    def test_bound_to_something_else_it_is_reported_and_put_back(self, sandbox, code, kind):
        run(sandbox, "answer['content'] = 'draft'")
        result = run(sandbox, code)
        assert (result.answer_rebound, result.answer) == (kind, Answer("draft", ready=False))
        assert run(sandbox, "answer").out == "{'content': 'draft', 'ready': False}"

    def test_another_dict_will_do(self, sandbox):
        result = run(sandbox, "answer = {'content': 'x', 'ready': True}")
        assert (result.answer_rebound, result.answer) == ("", Answer("x", ready=True))

    def test_other_content_becomes_text(self, sandbox):
        assert run(sandbox, "answer['content'] = 42").answer.content == "42"


class TestSubLlms:
    def test_answers_come_in_the_order_of_the_prompts(self, sandbox):
        def answer_backwards(batch):
            for index in reversed(range(len(batch.prompts))):
                batch.answer(index, f"{index}:{batch.prompts[index]}")
            batch.finish("summary")

        result = run(sandbox, "llm_batch(['a', 'b', 'c'])", on_batch=answer_backwards)
        assert (result.out, result.output) == ("['0:a', '1:b', '2:c']", "summary\n")

    def test_long_prompts_and_answers_arrive_whole(self, start):
        sandbox = start(Limits(memory_mb=512))
        sandbox.load({})
        prompts = []

        def echo(batch):
            prompts.extend(batch.prompts)
            for index, prompt in enumerate(batch.prompts):
                batch.answer(index, prompt)
            batch.finish("")

        code = "p = ['\\U0001f600' * 300_000, '', 'x' * 64_000, '\\x00\\ud800']\nllm_batch(p) == p"
        assert run(sandbox, code, on_batch=echo).out == "True"
        assert [len(prompt) for prompt in prompts] == [300_000, 0, 64_000, 2]

    def test_answers_may_come_from_any_thread(self, sandbox):
        def answer_from_threads(batch):
            def work():
                workers = [
                    threading.Thread(target=batch.answer, args=(index, str(index)))
                    for index in range(len(batch.prompts))
                ]
                for worker in workers:
                    worker.start()
                for worker in workers:
                    worker.join()
                batch.finish("")

            threading.Thread(target=work).start()

        code = "llm_batch(['p'] * 32) == [str(i) for i in range(32)]"
        assert run(sandbox, code, on_batch=answer_from_threads).out == "True"

    def test_threads_of_a_cell_ask_at_the_same_time(self, sandbox):
        batches = []

        def answer_when_both_ask(batch):
            batches.append(batch)
            if len(batches) == 2:
                for one in batches:
                    answer_all(one)

        code = (
            "from concurrent.futures import ThreadPoolExecutor\n"
            "with ThreadPoolExecutor(2) as threads:\n"
            "    answers = list(threads.map(lambda p: llm_batch([p])[0], ['a', 'b']))\n"
            "answers"
        )
        assert run(sandbox, code, on_batch=answer_when_both_ask).out == "['A', 'B']"

    def test_answers_that_arrived_survive_the_time_limit(self, sandbox):
        batches = []

        def answer_one(batch):
            batches.append(batch)
            batch.answer(1, "in time")

        result = run(sandbox, "llm_batch(['a', 'b', 'c'])", limit=0.5, on_batch=answer_one)
        assert (result.timed_out, result.state_lost) == (True, False)
        assert "1 of its 3 answers" in result.error.message
        assert batches[0].cancelled.is_set()
        batches[0].answer(0, "too late")
        batches[0].finish("too late")
        assert run(sandbox, "llm_batch.partial").out == "[None, 'in time', None]"

    def test_a_cell_that_gives_up_cancels_its_batch(self, sandbox):
        batches = []
        code = (
            "import signal\n"
            "def give_up(*_): raise TimeoutError\n"
            "signal.signal(signal.SIGALRM, give_up); signal.setitimer(signal.ITIMER_REAL, 0.2)\n"
            "try:\n    llm_batch(['a'])\nexcept TimeoutError:\n    print('gave up')"
        )
        result = run(sandbox, code, on_batch=batches.append)
        assert (result.output, result.error) == ("gave up\n", None)
        assert batches[0].cancelled.is_set()

    def test_without_sub_llms_it_says_so(self, sandbox):
        assert "no sub-LLMs" in run(sandbox, "llm_batch(['a'])").error.message

    def test_no_prompts_need_no_host(self, sandbox):
        assert run(sandbox, "llm_batch([])", on_batch=answer_all).out == "[]"

    @pytest.mark.parametrize(
        ("prompts", "kind", "message"),
        [
            ("['p'] * 100_000", "ValueError", "100000 prompts; at most"),
            ("['x' * 50_000_000]", "ValueError", "50000000 characters"),
            ("'one prompt'", "TypeError", "a list of prompts"),
            ("['a', 1]", "TypeError", "prompt 1 is not a str but int"),
            ("None", "TypeError", ""),
        ],
    )
    def test_bad_prompts_are_refused_in_the_cell(self, sandbox, prompts, kind, message):
        error = run(sandbox, f"llm_batch({prompts})", on_batch=answer_all).error
        assert error.type == kind
        assert message in error.message


class TestVariables:
    def test_the_table_tells_name_type_size_and_value(self, sandbox):
        table = run(sandbox, "n = 1\nwords = ['a'] * 10\nimport os\n_hidden = 1\nclass C: pass\nc = C()").variables
        assert table == (
            Variable(name="n", type="int", size="", repr="1"),
            Variable(name="words", type="list", size="10", repr="['a', 'a', 'a', 'a', 'a', 'a', …]"),
            Variable(name="C", type="type", size="", repr="<type>"),
            Variable(name="c", type="C", size="", repr="<C>"),
        )

    def test_it_is_bounded(self, sandbox):
        table = run(
            sandbox, "for i in range(1000): globals()[f'v{i}'] = 'x' * 10_000_000 if i > 995 else i"
        ).variables
        assert len(table) <= frame_checks.MAX_VARIABLES
        assert table[-1].size == "10000000"
        assert len(table[-1].repr) <= frame_checks.MAX_REPR


class TestLife:
    def test_a_closed_sandbox_refuses(self, sandbox):
        sandbox.close()
        sandbox.close()
        with pytest.raises(SandboxError):
            run(sandbox, "1")

    def test_its_lifetime_ends_it(self, start):
        sandbox = start(Limits(lifetime_seconds=1.0))
        run(sandbox, "import time; time.sleep(1)")
        with pytest.raises(SandboxError, match="lifetime"):
            run(sandbox, "1")

    def test_it_has_no_environment_of_ours(self, sandbox, monkeypatch):
        names = set(eval(run(sandbox, "import os; list(os.environ)").out))
        assert names <= {
            "PATH",
            "HOME",
            "HOSTNAME",
            "OMP_NUM_THREADS",
            "OPENBLAS_NUM_THREADS",
            "LC_CTYPE",
            "LANG",
            "PYTHONHASHSEED",
        } | {
            "GPG_KEY",
            "PYTHON_VERSION",
            "PYTHON_SHA256",  # of the official Python image
        }

    def test_many_can_be_used_at_once(self, backend, start):
        def work(index):
            sandbox = start(SMALL)
            run(sandbox, f"x = {index}")
            results[index] = run(sandbox, "x").out
            sandbox.close()

        results = {}
        threads = [threading.Thread(target=work, args=(index,)) for index in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == {index: str(index) for index in range(6)}


class TestSeveralRepls:
    """Several REPLs in one box, for sub-LLMs that are RLMs."""

    def test_each_has_its_own_namespace_and_answer(self, sandbox):
        inner = sandbox.beside()
        inner.load({"context": "inner"})
        run(sandbox, "x = 'outer'; answer['content'] = 'outer'")
        assert run(inner, "'x' in globals(), context").out == "(False, 'inner')"
        assert run(inner, "answer['content'] = 'inner'").answer.content == "inner"
        inner.close()
        assert run(sandbox, "x").out == "'outer'"

    def test_one_runs_while_another_waits_for_it(self, sandbox):
        def answer_with_a_repl(batch):
            def work():
                inner = sandbox.beside()
                inner.load({})
                batch.answer(0, run(inner, batch.prompts[0]).out)
                batch.finish("")
                inner.close()

            threading.Thread(target=work).start()

        assert run(sandbox, "llm_batch(['6 * 7'])", on_batch=answer_with_a_repl).out == "['42']"

    def test_one_that_dies_costs_no_other(self, sandbox):
        inner = sandbox.beside()
        inner.load({})
        run(sandbox, "x = 1")
        assert run(inner, "import os; os._exit(1)").state_lost
        assert run(inner, "1").out == "1"
        assert run(
            inner, "import signal; signal.signal(2, signal.SIG_IGN)\nwhile True: pass", limit=0.2
        ).state_lost
        assert run(sandbox, "x").out == "1"

    def test_they_end_with_the_sandbox(self, sandbox):
        inner = sandbox.beside()
        sandbox.close()
        with suppress(SandboxError):
            assert run(inner, "1").state_lost
        with pytest.raises(SandboxError):
            run(inner, "1")
