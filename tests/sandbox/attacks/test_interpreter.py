"""Cells that attack the REPL through Python's hooks, builtins and protocols."""

# ruff: noqa: E501 (each hostile cell in one piece)
import pytest


@pytest.mark.parametrize(
    "code",
    [
        "import builtins\nfor name in list(vars(builtins)): setattr(builtins, name, None)",
        "import builtins; vars(builtins).clear()",
        "import builtins; builtins.repr = builtins.len = builtins.isinstance = lambda *a: 1 / 0",
        "import builtins; builtins.__import__ = None",
        "__builtins__ = None",
        "globals().clear()",
        "globals()[1] = 2; globals()[None] = 3; globals()['\\ud800'] = 4",
        "import sys; sys.displayhook = sys.excepthook = sys.unraisablehook = lambda *a: 1 / 0\n1",
        "import sys; sys.settrace(lambda *a: 1 / 0)",
        "import sys; sys.setprofile(lambda *a: 1 / 0)",
        "import sys, threading\nthreading.settrace(lambda *a: 1 / 0); threading.setprofile(lambda *a: 1 / 0)",
        "import sys; sys.setrecursionlimit(50)",
        "import gc; gc.disable(); gc.set_threshold(1); gc.callbacks.append(lambda *a: 1 / 0)",
        "import traceback, linecache; traceback.TracebackException = linecache.getline = None\n1 / 0",
        "import json, ast, os; json.dumps = ast.parse = os.write = None",
        "import sys; sys.path.clear(); sys.meta_path.clear(); sys.path_hooks.clear()",
        "import sys; sys.exit()",
        "exit()",
        "raise SystemExit",
        "raise GeneratorExit",
        "import os; os.chdir('/'); os.environ.clear()",
        "import atexit, os; atexit.register(os._exit, 3)",
        "import threading; threading._active_limbo_lock.acquire()",
        "import random, time; random.seed(0); time.sleep = None",
    ],
)
def test_havoc_in_the_interpreter(attack, code):
    attack(code)


@pytest.mark.parametrize(
    "method",
    [
        "__repr__",
        "__str__",
        "__len__",
        "__class__",
        "__eq__",
        "__hash__",
        "__bool__",
        "__getattribute__",
        "__del__",
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        "1 / 0",
        "return self.{method}()",
        "raise SystemExit",
        "raise KeyboardInterrupt",
        "return 10**9 * 'x' if 0 else 7",
    ],
    ids=["raises", "recurses", "exits", "interrupts", "wrong-type"],
)
def test_hostile_methods(attack, method, body):
    body = body.replace("{method}", method)
    decorator = "    @property\n" if method == "__class__" else ""
    attack(
        f"class Evil:\n{decorator}    def {method}(self, *args):\n        {body}\n"
        "x = Evil(); y = [x]; z = {'k': x}\nx"
    )


def test_a_hostile_metaclass(attack):
    result = attack(
        "class Meta(type):\n    def __getattribute__(cls, name): raise SystemExit\n"
        "    __name__ = property(lambda cls: 1 / 0)\n    def __instancecheck__(cls, one): 1 / 0\n"
        "class Evil(metaclass=Meta): pass\nx = type.__call__(Evil)"
    )
    assert [one.type for one in result.variables] == ["type", "Meta", "Evil"]


@pytest.mark.parametrize(
    "code",
    [
        "class E(Exception):\n    def __str__(self): 1 / 0\nraise E",
        "class E(Exception):\n    def __str__(self): return 'x' * 10**8\nraise E",
        "class E(Exception):\n    def __str__(self): raise E\nraise E",
        "class E(BaseException):\n    def __getattribute__(self, name): raise SystemExit\nraise E",
        "raise Exception('\\ud800\\x00' * 100_000)",
        "e = Exception()\ne.__cause__ = e.__context__ = e\nraise e",
        "e = None\nfor _ in range(5000):\n    n = Exception(); n.__context__ = e; e = n\nraise e",
        "class E(Exception): pass\nE.__name__ = 'x' * 10**6\nraise E",
        "raise type('x' * 10**6, (Exception,), {})",
        "exec(compile('1/0', 'x' * 10**6, 'exec'))",
        "class S(str):\n    def __len__(self): return 1 / 0\n    def __getitem__(self, i): 1 / 0\nraise Exception(S('x'))",
    ],
)
def test_hostile_exceptions(attack, code):
    result = attack(code)
    assert result.error is not None
    assert len(result.error.traceback) <= 20_000
    assert len(result.error.type) <= 100


def test_a_hostile_exception_takes_its_time(attack):
    assert attack(
        "class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E", limit=0.5
    ).timed_out


def test_a_huge_repr_is_cut(attack):
    assert len(attack("'x' * 10**8").out) <= 50_000


def test_values_of_odd_types_are_shown(attack):
    result = attack(
        "class S(str):\n    def __len__(self): return 'no'\nclass R:\n    def __repr__(self): return S('shown')\nR()"
    )
    assert result.out == "shown"
