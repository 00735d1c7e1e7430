import heapq

from hypothesis import given
from hypothesis import strategies as st

from vecguard.proxy.relay.calls.deadlines import SLOT_SECONDS, Deadlines


class Timer:
    def __init__(self, callback):
        self.callback = callback

    def cancel(self):
        self.callback = None


class ScriptedLoop:
    """Calls back when the test lets time pass."""

    def __init__(self):
        self.now = 1000.0
        self.made = 0
        self._timers = []

    def time(self):
        return self.now

    def call_at(self, when, callback):
        self.made += 1
        timer = Timer(callback)
        heapq.heappush(self._timers, (when, self.made, timer))
        return timer

    def pass_until(self, moment):
        while self._timers and self._timers[0][0] <= moment:
            when, _, timer = heapq.heappop(self._timers)
            self.now = max(self.now, when)
            if timer.callback is not None:
                timer.callback()
        self.now = max(self.now, moment)


class TimedCall:
    def __init__(self, loop, deadlines, seconds):
        self._loop = loop
        self._deadlines = deadlines
        self.deadline = loop.time() + seconds
        self.timed_out_at = None
        deadlines.enter(self, self.deadline)

    def time_out(self):
        assert self.timed_out_at is None, "once is enough"
        self.timed_out_at = self._loop.time()
        self.leave()

    def leave(self):
        self._deadlines.leave(self, self.deadline)


STEPS = st.lists(
    st.tuples(st.sampled_from(["call", "leave", "wait"]), st.floats(-0.1, 3.0)), max_size=40
)


@given(STEPS)
def test_a_call_times_out_at_its_deadline_and_at_most_a_slot_later_unless_it_leaves(steps):
    loop = ScriptedLoop()
    deadlines, calls, left = Deadlines(loop), [], []
    for step, number in steps:
        if step == "call":
            calls.append(TimedCall(loop, deadlines, number))
        elif step == "leave" and calls:
            call = calls.pop(int(abs(number) * 1000) % len(calls))
            if call.timed_out_at is None:
                call.leave()
                left.append(call)
        elif step == "wait":
            loop.pass_until(loop.now + abs(number))
    entered_at_worst = loop.now
    loop.pass_until(loop.now + 10.0)
    for call in calls:
        assert call.timed_out_at is not None
        assert call.timed_out_at >= call.deadline
        # One whose deadline had passed already when it came has it a slot after that.
        due = max(call.deadline, call.timed_out_at - 2 * SLOT_SECONDS)
        assert call.timed_out_at <= due + 2 * SLOT_SECONDS or due <= entered_at_worst
    assert all(call.timed_out_at is None for call in left)
    assert len(deadlines) == 0


def test_calls_that_end_in_time_cost_no_timer_each():
    loop = ScriptedLoop()
    deadlines = Deadlines(loop)
    for _ in range(1000):
        TimedCall(loop, deadlines, 5.0).leave()
        loop.pass_until(loop.now + 0.001)
    assert loop.made <= 2
    assert len(deadlines) == 0


def test_a_call_whose_end_fails_takes_no_other_with_it():
    class BrokenCall(TimedCall):
        def time_out(self):
            raise KeyError

    loop = ScriptedLoop()
    deadlines = Deadlines(loop)
    broken = BrokenCall(loop, deadlines, 1.0)
    same_slot, later = TimedCall(loop, deadlines, 1.0), TimedCall(loop, deadlines, 2.0)
    loop.pass_until(loop.now + 3.0)
    assert broken.timed_out_at is None
    assert same_slot.timed_out_at is not None
    assert later.timed_out_at is not None


def test_nobody_is_timed_out_after_the_end():
    loop = ScriptedLoop()
    deadlines = Deadlines(loop)
    call = TimedCall(loop, deadlines, 1.0)
    deadlines.close()
    loop.pass_until(loop.now + 2.0)
    assert call.timed_out_at is None
