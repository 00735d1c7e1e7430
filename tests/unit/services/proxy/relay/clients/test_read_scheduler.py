"""Who has a turn when, by a clock and an event loop that the test turns."""

import pytest

from vecguard.proxy.compiled import is_compiled
from vecguard.proxy.http2.buffers import Buffers
from vecguard.proxy.relay.clients import read_scheduler
from vecguard.proxy.relay.clients.read_scheduler import SLICE_SECONDS, Reader, ReadScheduler
from vecguard.proxy.relay.clients.reputation import KNOWN, SUSPECT, UNKNOWN

pytestmark = pytest.mark.skipif(is_compiled(), reason="compiled classes cannot be inherited from")

#: What rounding may make of a sum of seconds.
ROUNDING = 1e-9


class Timer:
    def __init__(self, at, call):
        self.at, self.call = at, call

    def cancel(self):
        self.call = None


class Loop:
    """As much of an event loop as turns need; its time is `time.monotonic`, too."""

    def __init__(self):
        self.now = 1000.0
        self._ready = []
        self._timers = []

    def call_soon(self, callback, *arguments):
        self._ready.append(lambda: callback(*arguments))

    def call_later(self, seconds, callback, *arguments):
        timer = Timer(self.now + seconds, lambda: callback(*arguments))
        self._timers.append(timer)
        return timer

    def turn(self):
        """One turn: what is due and what is ready, and nothing that comes of it."""
        due = [timer for timer in self._timers if timer.at <= self.now]
        self._timers = [timer for timer in self._timers if timer.at > self.now]
        ready, self._ready = self._ready, []
        for timer in due:
            if timer.call is not None:
                timer.call()
        for call in ready:
            call()

    def rest(self):
        """Sleeps until the next timer when nothing is ready. Returns whether anything is."""
        times = [timer.at for timer in self._timers if timer.call is not None]
        if not self._ready and times:
            self.now = max(self.now, min(times))
        return bool(self._ready or times)


class CountedScheduler(ReadScheduler):
    """Counts how often it serves waiting connections."""

    runs = 0

    def _run(self):
        self.runs += 1
        super()._run()


class Harness:
    """Connections and their turns.

    Attributes:
        served: the names of those that had a turn, in order.
        spent: seconds by name.
    """

    def __init__(self):
        self.loop = Loop()
        self.buffers = Buffers(1000)
        self.scheduler = CountedScheduler(self.loop, self.buffers)
        self.served = []
        self.spent = {}

    def connection(self, name, **attributes):
        return Connection(self, name, **attributes)

    def turn(self):
        """One turn of the loop, in which waiting connections are served once at most."""
        before = self.scheduler.runs
        self.loop.turn()
        assert self.scheduler.runs - before <= 1

    def go_on(self, until=lambda: False, turns=1000):
        """Until nothing is left to do, or the condition holds."""
        for _ in range(turns):
            if until() or not self.loop.rest():
                return
            self.turn()
        raise AssertionError("it never ended")

    def let_wait(self, *connections, work):
        """All of them have sent something, and wait for their turns."""
        for connection in connections:
            connection.work += work
            self.scheduler.wait(connection)


class Connection(Reader):
    """A connection that needs time for its data, and records what happens to it.

    Attributes:
        work: seconds that are needed for what was sent.
        rests: how long it rests after each turn.
        events: what else was done to it.
    """

    # Of the abstract property.
    unread = 0

    def __init__(self, harness, name, *, origin="a", rank=UNKNOWN, rests=0.0):
        self._harness = harness
        self.name, self.line, self.rank, self.rests = name, origin, rank, rests
        self.is_waiting = self.is_heavy = self.is_closed = False
        self.is_read = True
        self.work = 0.0
        self.unread = self.counted = 0
        self.events = []
        self.bug = None

    @property
    def is_over(self):
        return self.is_closed

    def sends(self, work):
        """As `ClientLink.data_received` does it."""
        self.work += work
        until = self._harness.scheduler.begin(self)
        if until:
            self._harness.scheduler.end(self, until, is_done=self._handle(until))
        else:
            self._harness.scheduler.wait(self)

    def go_on(self, until):
        if self.bug is not None:
            raise self.bug
        return self._handle(until)

    def _handle(self, until):
        harness = self._harness
        harness.served.append(self.name)
        spent = max(0.0, min(self.work, until - harness.loop.now))
        harness.loop.now += spent
        harness.spent[self.name] = harness.spent.get(self.name, 0.0) + spent
        self.work -= spent
        return self.work < ROUNDING

    def take_rest(self):
        return self.rests

    def give_up(self):
        self.events.append("gave up")
        self.is_closed = True

    def met(self, bug):
        self.events.append(bug)
        self.is_closed = True

    def stop_reading(self):
        self.is_read = False

    def read_on(self):
        self.is_read = True


@pytest.fixture
def harness(monkeypatch):
    harness = Harness()
    monkeypatch.setattr(read_scheduler, "monotonic", lambda: harness.loop.now)
    harness.scheduler._allowed_at = harness.loop.now
    return harness


def test_addresses_take_turns_and_so_do_the_connections_of_each(harness):
    names = ("a1", "a2", "a3", "b1", "c1", "c2")
    harness.let_wait(*(harness.connection(name, origin=name[0]) for name in names), work=0.0001)
    harness.go_on()
    assert harness.served == ["a1", "b1", "c1", "a2", "c2", "a3"]


def test_what_is_read_is_handled_at_once_while_there_is_time(harness):
    known, unknown = harness.connection("known", rank=KNOWN), harness.connection("unknown")
    known.sends(0.0001)
    unknown.sends(0.0001)
    assert harness.served == ["known", "unknown"]
    assert known.is_read
    assert unknown.is_read
    assert not harness.loop.rest()  # nothing is left to do


def test_what_needs_longer_than_a_slice_waits_unread_and_is_read_when_it_is_done(harness):
    client = harness.connection("client", rank=KNOWN)
    client.sends(2.5 * SLICE_SECONDS)
    assert client.work == pytest.approx(1.5 * SLICE_SECONDS)
    assert (client.is_waiting, client.is_read, client.is_heavy) == (True, False, True)
    harness.go_on()
    assert client.work == pytest.approx(0.0)
    assert (client.is_waiting, client.is_read, client.is_heavy) == (False, True, False)


def test_what_still_comes_while_one_waits_is_kept_for_its_turn(harness):
    """TLS has more in its own buffers."""
    client = harness.connection("client", rank=KNOWN)
    client.sends(1.5 * SLICE_SECONDS)
    client.sends(0.0001)
    assert harness.served == ["client"]
    harness.go_on()
    assert client.work == pytest.approx(0.0)


def test_known_ones_go_before_unknown_ones_and_unknown_ones_before_suspects(harness):
    crowd = [
        harness.connection("suspect", rank=SUSPECT),
        harness.connection("unknown"),
        harness.connection("known", rank=KNOWN),
    ]
    harness.let_wait(*crowd, work=0.0001)
    harness.go_on()
    assert harness.served == ["known", "unknown", "suspect"]


def test_a_stranger_that_sent_much_goes_behind_those_that_sent_little(harness):
    heavy = harness.connection("heavy")
    heavy.sends(2 * SLICE_SECONDS)
    harness.let_wait(harness.connection("light", origin="b"), work=0.0001)
    harness.let_wait(harness.connection("light", origin="c"), work=0.0001)
    harness.go_on()
    assert harness.served == ["heavy", "light", "light", "heavy"]


def test_suspects_have_some_turns_however_many_unknown_ones_come(harness):
    suspect = harness.connection("suspect", rank=SUSPECT)
    harness.let_wait(suspect, work=0.0001)
    for number in range(20):
        harness.let_wait(harness.connection("unknown", origin=str(number)), work=0.0001)
    harness.go_on()
    assert harness.served.index("suspect") == 7


@pytest.mark.parametrize(("rank", "most"), [(KNOWN, 0.004), (UNKNOWN, 0.002), (SUSPECT, 0.002)])
def test_one_turn_of_the_loop_has_time_for_so_much(harness, rank, most):
    harness.let_wait(*(harness.connection("x", rank=rank) for _ in range(20)), work=SLICE_SECONDS)
    harness.turn()
    assert most - ROUNDING <= harness.spent["x"] <= most + SLICE_SECONDS + ROUNDING
    before = harness.spent["x"]
    harness.go_on(lambda: harness.spent["x"] > before)
    assert harness.spent["x"] - before <= most + SLICE_SECONDS + ROUNDING


def test_known_ones_that_send_at_once_wait_when_the_turn_is_used_up(harness):
    clients = [harness.connection(str(number), rank=KNOWN) for number in range(8)]
    for client in clients:
        client.sends(SLICE_SECONDS - ROUNDING)
    assert harness.served == ["0", "1", "2", "3", "4"]
    assert [client.is_read for client in clients] == [True] * 5 + [False] * 3
    harness.turn()
    assert harness.served == [str(number) for number in range(8)]


def test_what_a_known_one_sends_is_handled_at_once_when_memory_is_short(harness):
    harness.buffers.held = harness.buffers.limit
    for number in range(8):
        harness.connection(str(number), rank=KNOWN).sends(SLICE_SECONDS - ROUNDING)
    assert len(harness.served) == 8


def test_connections_without_a_login_have_a_quarter_of_the_time(harness):
    crowd = [harness.connection("x", rank=SUSPECT, origin=str(number)) for number in range(9)]
    harness.let_wait(*crowd, work=1.0)
    began = harness.loop.now
    harness.go_on(lambda: harness.loop.now > began + 2)
    assert harness.spent["x"] == pytest.approx((harness.loop.now - began) / 4, rel=0.05)


def test_time_that_was_spent_outside_of_turns_counts_for_unknown_ones(harness):
    """Such as on logins, in tasks."""
    unknown, known = harness.connection("unknown"), harness.connection("known", rank=KNOWN)
    harness.scheduler.charge(known, 1000.0)
    unknown.sends(0.0001)
    assert unknown.is_read
    harness.scheduler.charge(unknown, 1.0)
    unknown.sends(0.0001)
    known.sends(0.0001)
    assert (unknown.is_read, known.is_read) == (False, True)
    began = harness.loop.now
    harness.go_on()
    assert unknown.is_read
    assert harness.loop.now - began == pytest.approx(4.0, abs=0.1)


def test_one_that_sends_beside_unknown_ones_that_wait_waits_behind_them(harness):
    harness.let_wait(harness.connection("first"), work=0.0001)
    harness.connection("second", origin="b").sends(0.0001)
    harness.go_on()
    assert harness.served == ["first", "second"]


@pytest.mark.parametrize("known_seconds", [0.0, 0.0005, 0.0015, 0.006])
def test_those_that_wait_are_served_once_in_a_turn_of_the_loop(harness, known_seconds):
    """More than once, the rest of the loop would have its turn ever more seldom."""
    crowd = [harness.connection("x", rank=SUSPECT, origin=str(number)) for number in range(9)]
    harness.let_wait(*crowd, work=0.2)
    known = [harness.connection(str(number), rank=KNOWN) for number in range(3)]
    for _ in range(1000):  # `turn` looks at it
        for client in known:
            if client.is_read and known_seconds:
                client.sends(known_seconds)
        harness.loop.rest()
        harness.turn()
    assert harness.scheduler.runs > 100


def test_a_run_by_the_timer_and_a_run_that_is_due_are_one(harness):
    harness.let_wait(harness.connection("x", rank=SUSPECT), work=0.1)
    known = harness.connection("known", rank=KNOWN)
    harness.turn()
    assert harness.loop.rest()  # the timer is due now
    known.sends(1.5 * SLICE_SECONDS)
    harness.turn()
    assert harness.scheduler.runs == 2


def test_one_that_waited_for_five_seconds_is_closed(harness):
    unknown = harness.connection("unknown")
    harness.let_wait(unknown, work=0.0001)
    harness.loop.now += 5.1
    harness.go_on()
    assert unknown.events == ["gave up"]
    assert harness.served == []


@pytest.mark.parametrize("becomes_known", [False, True])
def test_a_known_one_is_not_closed_for_having_waited(harness, becomes_known):
    client = harness.connection("client", rank=UNKNOWN if becomes_known else KNOWN)
    harness.let_wait(client, work=0.0001)
    client.rank = KNOWN
    harness.loop.now += 5.1
    harness.go_on()
    assert client.events == []
    assert client.is_read


def test_one_that_becomes_known_while_it_waits_goes_before_all_unknown_ones(harness):
    """A first call with a large message, whose login is checked meanwhile."""
    harness.let_wait(*(harness.connection("unknown") for _ in range(5)), work=0.0001)
    client = harness.connection("client")
    harness.let_wait(client, work=0.0001)
    client.rank = KNOWN
    harness.scheduler.promote(client, client.line)
    harness.go_on()
    assert harness.served[0] == "client"
    assert harness.served.count("client") == 1


def test_a_known_one_does_not_wait_for_the_unknown_ones_timer(harness):
    """It has become known while it rested, and the unknown ones have used up their time."""
    client = harness.connection("client", rests=0.05)
    client.sends(0.0001)
    harness.let_wait(harness.connection("x", rank=SUSPECT), work=0.1)
    harness.scheduler._allowance = -1.0
    harness.turn()
    client.work, client.rests, client.rank = 0.0001, 0.0, KNOWN
    before = harness.loop.now
    harness.go_on(lambda: client.is_read)
    assert harness.loop.now - before < 0.1


def test_a_connection_rests_after_its_turn_for_as_long_as_it_says(harness):
    client = harness.connection("client", rank=SUSPECT, rests=0.1)
    client.sends(0.0001)
    assert (client.is_waiting, client.is_read) == (True, False)
    rests_from, client.rests = harness.loop.now, 0.0
    harness.go_on()
    assert harness.loop.now >= rests_from + 0.1
    assert (client.is_waiting, client.is_read) == (False, True)


@pytest.mark.parametrize("rests", [0.0, 0.1])
def test_one_that_was_closed_while_it_waited_has_no_turn(harness, rests):
    client = harness.connection("client", rests=rests)
    client.sends(2 * SLICE_SECONDS)
    client.is_closed = True
    harness.go_on()
    assert harness.served == ["client"]


@pytest.mark.parametrize("rank", [KNOWN, UNKNOWN, SUSPECT])
def test_a_bug_in_one_turn_ends_that_connection_and_no_others_turns(harness, rank):
    broken, other = (harness.connection(name, rank=rank, origin=name) for name in "ab")
    broken.bug = ValueError("a bug")
    harness.let_wait(broken, other, work=0.0001)
    harness.go_on()
    assert broken.events == [broken.bug]
    assert other.is_read
    harness.let_wait(other, work=0.0001)
    harness.go_on()
    assert other.is_read


def test_what_newcomers_leave_unread_is_bounded_and_little_is_always_kept(harness):
    busy = harness.connection("busy")
    busy.work = 1.0
    harness.scheduler.wait(busy)
    greedy = [harness.connection(f"greedy{number}") for number in range(70)]
    for reader in greedy:
        reader.unread = 256 * 1024
        harness.scheduler.wait(reader)
    small = harness.connection("small")
    small.unread = 8 * 1024
    harness.scheduler.wait(small)
    assert [reader.is_closed for reader in greedy] == [False] * 64 + [True] * 6
    assert not small.is_closed


def test_what_was_left_unread_counts_no_more_when_it_is_read_or_the_connection_is_over(harness):
    readers = [harness.connection(f"reader{number}") for number in range(64)]
    for reader in readers:
        reader.unread = 256 * 1024
        harness.scheduler.wait(reader)
    for reader in readers[:32]:
        harness.scheduler.forget(reader)
    for reader in readers[32:]:
        reader.rank = KNOWN
        harness.scheduler.promote(reader, "a user")
    late = harness.connection("late")
    late.unread = 256 * 1024
    harness.scheduler.wait(late)
    assert harness.scheduler._unread == 256 * 1024
    assert not late.is_closed
