"""Frames, their checks, and a hostile box."""

import socket
import struct
import threading
import time

import pytest

from sandbox.box import Box
from sandbox.contract import Limits, SandboxError
from sandbox.inside import frame_checks, wire
from sandbox.inside.output import Output
from sandbox.repl_sandbox import ReplSandbox


class TestFrames:
    @pytest.mark.parametrize("text", ["", "\x00", "\ud800", "é😀", "x" * 60_000])
    def test_what_is_sent_arrives(self, text):
        (body,) = wire.Splitter().feed(wire.encode({"t": "x", "text": text}))
        assert wire.parse(body)["text"] == text

    def test_bytes_may_come_one_by_one(self):
        splitter = wire.Splitter()
        data = wire.encode({"t": "a"}) + wire.encode({"t": "b"})
        bodies = [body for byte in data for body in splitter.feed(bytes([byte]))]
        assert [wire.parse(body)["t"] for body in bodies] == ["a", "b"]

    def test_a_frame_that_is_too_long_is_not_sent(self):
        with pytest.raises(wire.WireError):
            wire.encode({"t": "x", "text": "x" * wire.MAX_FRAME})

    def test_a_frame_that_is_too_long_is_refused_when_it_is_announced(self):
        with pytest.raises(wire.WireError, match="announced"):
            wire.Splitter().feed(struct.pack(">I", 2**32 - 1))

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"x",
            b"[]",
            b"1",
            b"{}",
            b'{"t":1}',
            b'{"t":"x","n":NaN}',
            b"\xff",
            b"[" * 10**5,
            b'{"t":' + b"1" * 10**5 + b"}",
        ],
    )
    def test_what_is_no_frame_is_refused(self, body):
        with pytest.raises(wire.WireError):
            wire.parse(body)

    def test_the_longest_piece_fits_a_frame(self):
        assert len(wire.encode({"t": "text", "text": "😀" * wire.PIECE_CHARS})) <= wire.MAX_FRAME


DONE = {
    "t": "done",
    "number": 1,
    "out": None,
    "error": None,
    "answer": "",
    "ready": False,
    "rebound": "",
    "repairs": [],
    "variables": [],
    "threads": 0,
}


class TestClaims:
    def test_a_good_one_passes(self):
        assert frame_checks.check(DONE, frame_checks.FROM_REPL) is DONE

    @pytest.mark.parametrize(
        "change",
        [
            {"out": 1},
            {"out": "x" * (frame_checks.MAX_OUT + 1)},
            {"ready": 1},
            {"rebound": None},
            {"repairs": ["x"] * (frame_checks.MAX_REPAIRS + 1)},
            {"threads": -1},
            {"threads": True},
            {"threads": 10**30},
            {"variables": [["a", "b", "c"]]},
            {"variables": [["a", "b", "c", 4]]},
            {"variables": [["a", "b", "c", "d"]] * (frame_checks.MAX_VARIABLES + 1)},
            {"error": {"type": "x"}},
            {"error": {"type": "x", "message": "", "traceback": "", "more": ""}},
            {"more": 1},
            {"t": "ready"},
        ],
    )
    def test_a_bad_one_is_refused(self, change):
        with pytest.raises(wire.WireError):
            frame_checks.check({**DONE, **change}, frame_checks.FROM_REPL)


class TestOutput:
    def fed(self, output, data, *, size):
        head = "".join(output.feed(data[start : start + size]) for start in range(0, len(data), size))
        return head + output.feed(b"", final=True) + output.tail()

    @pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
    @pytest.mark.parametrize("text", ["aé€😀\x00\ud800\udfff", "\xff", "plain"])
    def test_chunks_may_end_anywhere(self, text, size):
        data = text.encode("utf-8", "surrogatepass")
        assert self.fed(Output(limit=100), data, size=size) == text

    @pytest.mark.parametrize("data", [b"\xff", b"a\x80b", b"\xe2\x82", b"\xf0\x9f\x98", b"\xc0\xaf"])
    @pytest.mark.parametrize("size", [1, 1000])
    def test_invalid_bytes_are_escaped(self, data, size):
        assert self.fed(Output(limit=100), data, size=size) == data.decode("utf-8", "backslashreplace")

    @pytest.mark.parametrize("size", [1, 3, 1000])
    def test_head_and_tail_are_kept(self, size):
        output = Output(limit=10)
        assert self.fed(output, ("é" * 50 + "😀" * 50).encode(), size=size) == "é" * 5 + "😀" * 5
        assert output.chars == 100


class FakeTransport:
    """A box that is played by the test, at the other end of a socket pair."""

    name = "a fake"

    def __init__(self):
        self._line, self.box = socket.socketpair()
        self.killed = False

    def fileno(self):
        return self._line.fileno()

    def send(self, data):
        self._line.sendall(data)

    def receive(self):
        return self._line.recv(65536)

    def close(self, *, kill):
        self.killed = kill
        self._line.close()
        self.box.close()

    def last_words(self):
        return "last words"


class TestHost:
    """A compromised supervisor can do no more than a REPL."""

    @pytest.fixture
    def transport(self):
        transport = FakeTransport()
        yield transport
        transport.close(kill=False)

    def sandbox(self, transport, *frames):
        """A sandbox whose box answers the set-up and then sends these frames."""
        box = Box(transport, ends_at=time.monotonic() + 60, on_close=lambda box: None)
        transport.box.sendall(wire.encode({"t": "set", "repl": 0, "generation": 1}))
        sandbox = ReplSandbox(backend="fake", limits=Limits(output_chars=10), open_box=lambda: box)
        sandbox.load({})
        for frame in frames:
            transport.box.sendall(frame if isinstance(frame, bytes) else wire.encode(frame))
        return sandbox

    def test_a_wedged_box_is_killed_and_the_result_is_in_time(self, transport):
        sandbox = self.sandbox(transport)
        began = time.monotonic()
        result = sandbox.execute("1", time_limit=0.1)
        assert time.monotonic() - began < 20
        assert (result.state_lost, result.timed_out, transport.killed) == (True, True, True)

    @pytest.mark.parametrize(
        "frame",
        [
            b"\xff" * 8,
            {"t": "done", "repl": 0},
            {"t": "ready", "repl": 0},
            {"t": "output", "repl": 0, "text": "x" * 11},
            {"t": "batch", "repl": 0, "batch": 0, "cell": 1, "pieces": [[0, "not asked for"]], "last": True},
            {"t": "output", "repl": 0, "text": 7},
        ],
    )
    def test_a_box_that_breaks_the_wire_is_killed(self, transport, frame):
        result = self.sandbox(transport, frame).execute("1", time_limit=5)
        assert (result.state_lost, result.error.type, transport.killed) == (True, "StateLost", True)

    def test_a_box_that_never_gets_ready_tells_its_last_words(self, transport):
        box = Box(transport, ends_at=time.monotonic() + 60, on_close=lambda box: None)
        with pytest.raises(SandboxError, match="last words"):
            box.await_ready(timeout=0.05)

    def test_an_error_of_the_engine_s_callback_comes_through(self, transport):
        sandbox = self.sandbox(transport, {"t": "output", "repl": 0, "text": "x"})

        def fail(text):
            raise RuntimeError("the engine's own")

        with pytest.raises(RuntimeError, match="the engine's own"):
            sandbox.execute("1", time_limit=5, on_output=fail)
        assert transport.killed


class TestMailboxes:
    def test_one_reads_for_all(self):
        frames = iter([[{"t": "x", "to": 2}], [{"t": "x", "to": 1}]])
        first_waits = threading.Event()

        def receive(timeout):
            first_waits.wait(5)
            return next(frames)

        mailboxes = wire.Mailboxes(receive=receive, address=lambda frame: frame["to"])
        got = {}
        threads = [
            threading.Thread(target=lambda to=to: got.__setitem__(to, mailboxes.wait(to, timeout=5)))
            for to in (1, 2)
        ]
        for thread in threads:
            thread.start()
        first_waits.set()
        for thread in threads:
            thread.join()
        assert {to: frame["to"] for to, frame in got.items()} == {1: 1, 2: 2}

    def test_nobody_waits_for_ever(self):
        mailboxes = wire.Mailboxes(receive=lambda timeout: time.sleep(timeout) or [], address=lambda frame: 0)
        with pytest.raises(TimeoutError):
            mailboxes.wait(0, timeout=0.05)

    def test_the_end_is_everybodys_end(self):
        def receive(timeout):
            raise wire.LineEnded("over")

        mailboxes = wire.Mailboxes(receive=receive, address=lambda frame: 0)
        for address in (0, 1):
            with pytest.raises(EOFError, match="over"):
                mailboxes.wait(address)
