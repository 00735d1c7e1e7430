"""Frame sequences, legal and slightly illegal, judged by us and by `h2` (both roles).

Each step's events, resets, replies and connection errors must be the same, but for the
differences in `KNOWN`, each with its reason. After a difference the two are in different
states, so a script ends there.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings

from tests.support.frame_sequences import SCRIPTS, Step, Writer
from tests.support.http2_oracle import Oracle, Ours, Verdict
from vecguard.proxy.http2 import frames
from vecguard.proxy.http2.errors import ErrorCode

HEADER_STEPS = frozenset(("open", "headers", "trailers"))
FROM_CLIENT, FROM_SERVER = True, False


@dataclass(frozen=True)
class Difference:
    """One step on which the two disagree, and what was known before it."""

    kind: str
    target: int
    from_client: bool
    ours: Verdict
    theirs: Verdict
    reset_by_us: frozenset[int]

    @property
    def our_code(self) -> int | None:
        """The one stream error that we answered with, on the stream that it is about."""
        [(stream_id, code)] = self.ours.resets if len(self.ours.resets) == 1 else [(0, 0)]
        return code if stream_id == self.target else None


KNOWN: dict[str, Callable[[Difference], bool]] = {
    # RFC 9113, section 4.3. h2 says PROTOCOL_ERROR for what hpack cannot read.
    "a broken header block is a COMPRESSION_ERROR": lambda it: (
        it.kind == "garbage"
        and it.ours.fatal == ErrorCode.COMPRESSION_ERROR
        and it.theirs.fatal == ErrorCode.PROTOCOL_ERROR
    ),
    # RFC 9113, section 4.2. hyperframe finds some sizes before h2 can name the error.
    "a wrong size is a FRAME_SIZE_ERROR": lambda it: (
        it.kind in {"bad_settings", "bad_size", "oversized", "data"}
        and it.ours.fatal == ErrorCode.FRAME_SIZE_ERROR
        and it.theirs.fatal == ErrorCode.PROTOCOL_ERROR
    ),
    # RFC 9113, sections 5.1.2, 6.3, 6.9, 6.9.1, 8.1: errors of a stream. h2 makes errors of
    # the connection of them, which section 5.4.1 allows and which would cost other calls.
    "a stream's error ends the stream alone": lambda it: (
        it.ours.fatal is None
        and it.our_code in {1, 3, 6, 7}
        and it.theirs.fatal in {it.our_code, ErrorCode.PROTOCOL_ERROR}
    ),
    # RFC 9113, section 5.1: after sending RST_STREAM, what comes late is ignored. h2 sends
    # another reset for each late frame.
    "what comes late on a stream that we reset is ignored": lambda it: (
        it.target in it.reset_by_us
        and it.ours == Verdict()
        and (
            set(it.theirs.resets) == {(it.target, ErrorCode.STREAM_CLOSED)}
            or it.theirs.fatal in {ErrorCode.PROTOCOL_ERROR, ErrorCode.STREAM_CLOSED}
        )
    ),
    # Whether an answer's frames are in order is for the relay's `Call` to say: there it
    # ends one call with a status, here it could only reset.
    "the order of an answer is judged above": lambda it: (
        not it.from_client
        and it.ours.fatal is None
        and [event[:2] for event in it.ours.events]
        in ([("data", it.target)], [("headers", it.target)])
        and it.theirs.fatal == ErrorCode.PROTOCOL_ERROR
    ),
    # RFC 9113, sections 5.1 and 5.1.1: we push nothing and allow no push, so even numbers
    # stay idle. h2 takes them for pushed streams, or for closed ones.
    "an even number is idle": lambda it: (
        it.target > 0 and it.target % 2 == 0 and it.ours.fatal == ErrorCode.PROTOCOL_ERROR
    ),
    # RFC 9113, section 6.10. h2 looks at the stream's state first.
    "a CONTINUATION out of place is a PROTOCOL_ERROR": lambda it: (
        it.kind == "continuation"
        and it.ours.fatal == ErrorCode.PROTOCOL_ERROR
        and it.theirs.fatal == ErrorCode.STREAM_CLOSED
    ),
    # One reset says it all.
    "h2 may reset a stream twice": lambda it: (
        it.ours.fatal is None
        and it.theirs.fatal is None
        and it.ours.events == it.theirs.events
        and set(it.ours.resets) == set(it.theirs.resets)
    ),
    # RFC 9113, section 6.4. h2 lets it pass.
    "a reset of an idle stream ends the connection": lambda it: (
        it.kind == "rst" and it.ours.fatal == ErrorCode.PROTOCOL_ERROR and it.theirs == Verdict()
    ),
    # RFC 9113, section 5.1: STREAM_CLOSED, of the stream where it was reset and of the
    # connection where it ended; section 5.4.1 lets us take it for the connection's always.
    # A client says PROTOCOL_ERROR: see test_rfc9113_client.py.
    "a header block on a closed stream ends the connection": lambda it: (
        (it.kind in HEADER_STEPS | {"garbage"} or (it.kind == "data" and not it.from_client))
        and it.ours.fatal in {ErrorCode.PROTOCOL_ERROR, ErrorCode.STREAM_CLOSED}
        and (
            it.theirs.fatal == ErrorCode.STREAM_CLOSED
            or set(it.theirs.resets) == {(it.target, ErrorCode.STREAM_CLOSED)}
        )
    ),
}


class Pair:
    """Both connections, greeted; a client has three requests open."""

    def __init__(self, *, from_client: bool) -> None:
        self._from_client = from_client
        self.ours, self.theirs = (make(client_side=not from_client) for make in (Ours, Oracle))
        self.reset_by_us: set[int] = set()
        self._answered: set[int] = set()
        opened = []
        if not from_client:
            for end in (False, True, False):
                opened.append(self.ours.request(end=end))
                assert self.theirs.request(end=end) == opened[-1]
        self.writer = Writer(client_side=from_client, opened=opened)
        preface = frames.PREFACE if from_client else b""
        hello = preface + frames.settings({})
        assert self.ours.hear(hello) == self.theirs.hear(hello)

    def play(self, script: list[Step]) -> str | None:
        """The known difference that ends the script; None when there was none."""
        for step in script:
            target = self.writer.target(step)
            ours, theirs = self._step(step, target)
            if ours.fatal is not None and ours.fatal == theirs.fatal:
                return None  # neither side acts on what was acknowledged just before
            if ours != theirs:
                difference = Difference(
                    step.kind,
                    target,
                    self._from_client,
                    ours,
                    theirs,
                    frozenset(self.reset_by_us),
                )
                for name, explains in KNOWN.items():
                    if explains(difference):
                        return name
                raise AssertionError(f"nothing explains {difference}")
            self.reset_by_us.update(stream_id for stream_id, _ in ours.resets)
        return None

    def _step(self, step: Step, target: int) -> tuple[Verdict, Verdict]:
        if step.kind not in {"answer", "reset"}:
            data = self.writer.write(step)
            return self.ours.hear(data), self.theirs.hear(data)
        if not (self.ours.can_answer(target) and self.theirs.can_answer(target)):
            return Verdict(), Verdict()
        if step.kind == "reset":
            code = ErrorCode.CANCEL
            return self.ours.reset(target, code), self.theirs.reset(target, code)
        if not self._from_client:
            return Verdict(), Verdict()
        end = step.end or target in self._answered  # a second block is trailers
        self._answered.add(target)
        return self.ours.answer(target, end=end), self.theirs.answer(target, end=end)


@pytest.mark.parametrize("from_client", [FROM_CLIENT, FROM_SERVER])
@settings(max_examples=200, deadline=None)
@given(SCRIPTS)
def test_frames_mean_to_us_what_they_mean_to_h2(from_client, script):
    Pair(from_client=from_client).play(script)


def told(connection: Ours, pieces: list[bytes]) -> tuple:
    """All that comes of the pieces: events, output, error."""
    verdicts = []
    for piece in pieces:
        verdicts.append(connection.hear(piece))
        if verdicts[-1].fatal is not None:
            break
    return (
        [event for verdict in verdicts for event in verdict.events],
        [reset for verdict in verdicts for reset in verdict.resets],
        [reply for verdict in verdicts for reply in verdict.replies],
        verdicts[-1].fatal if verdicts else None,
    )


def fresh(*, from_client: bool) -> Ours:
    connection = Ours(client_side=not from_client)
    if not from_client:
        for end in (False, True, False):
            connection.request(end=end)
    return connection


@pytest.mark.parametrize("from_client", [FROM_CLIENT, FROM_SERVER])
@settings(max_examples=25, deadline=None)
@given(SCRIPTS)
def test_frames_cut_at_any_byte_have_the_same_outcome(from_client, script):
    writer = Writer(client_side=from_client, opened=[] if from_client else [1, 3, 5])
    data = (frames.PREFACE if from_client else b"") + frames.settings({})
    for step in script:
        if step.kind not in {"answer", "reset", "oversized"} and step.size != 1001:
            data += writer.write(step)
    expected = told(fresh(from_client=from_client), [data])
    for cut in range(len(data) + 1):
        got = told(fresh(from_client=from_client), [data[:cut], data[cut:]])
        assert got == expected, f"cut at {cut}"
    single = [bytes((byte,)) for byte in data]
    assert told(fresh(from_client=from_client), single) == expected


# One script for each known difference: a difference that is gone must leave the table.
def step(kind, stream_id=1, *, place=None, end=False, size=0, extra=1):
    return Step(kind, place, stream_id, end, size, extra)


EXAMPLES = [
    ("a broken header block is a COMPRESSION_ERROR", FROM_CLIENT, [step("garbage")]),
    ("a wrong size is a FRAME_SIZE_ERROR", FROM_CLIENT, [step("bad_settings", extra=5)]),
    ("a stream's error ends the stream alone", FROM_CLIENT, [step("open"), step("window")]),
    (
        "what comes late on a stream that we reset is ignored",
        FROM_CLIENT,
        [step("open"), step("reset"), step("data", size=9)],
    ),
    ("the order of an answer is judged above", FROM_SERVER, [step("data", size=9, extra=9)]),
    ("an even number is idle", FROM_SERVER, [step("headers", 2)]),
    (
        "a CONTINUATION out of place is a PROTOCOL_ERROR",
        FROM_CLIENT,
        [step("headers", 3), step("continuation", 1)],
    ),
    ("h2 may reset a stream twice", FROM_SERVER, [step("rst", 5), step("data", 5, size=9)]),
    ("a reset of an idle stream ends the connection", FROM_CLIENT, [step("open"), step("rst", 7)]),
    (
        "a header block on a closed stream ends the connection",
        FROM_SERVER,
        [step("headers", 3, end=True), step("headers", 3)],
    ),
]


@pytest.mark.parametrize(("name", "from_client", "script"), EXAMPLES)
def test_each_known_difference_is_still_there(name, from_client, script):
    assert Pair(from_client=from_client).play(script) == name


def test_every_known_difference_has_an_example():
    assert {name for name, *_ in EXAMPLES} == set(KNOWN)
