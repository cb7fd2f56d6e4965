"""Ctrl-C at any moment of a launch: the interrupt comes out, no core's thread stays, and the next launch is whole."""

import gc
import random
import signal
import sys
import time

import numpy as np
import pytest

import nkisim.nki as nki
import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.execution import launch, neuron_core, rendezvous

HOST_SIDE = {module.__file__ for module in (launch, neuron_core, rendezvous)}
DATA = np.arange(32, dtype=np.float32).reshape(2, 16)


@nki.jit
def meeting(rows):
    """Each core takes its row; they meet three times."""
    out = nl.ndarray((2, 16), nl.float32, buffer=nl.shared_hbm)
    for _ in range(3):
        mine = nl.load(rows[nl.ds(nl.program_id(), 1)])
        nisa.dma_copy(out[nl.ds(nl.program_id(), 1)], mine)
        nisa.core_barrier(data=out, cores=(0, 1))
    return out


@pytest.fixture(autouse=True)
def target(monkeypatch):
    monkeypatch.setenv("NEURON_PLATFORM_TARGET_OVERRIDE", "trn2")
    assert_whole()


def assert_whole():
    np.testing.assert_array_equal(meeting[2](DATA), DATA)


def assert_no_core_stays(threads_before):
    """A thread that has told that it ends takes a moment to do so."""
    deadline = time.monotonic() + 5
    while set(sys._current_frames()) - threads_before:
        assert time.monotonic() < deadline
        time.sleep(0.0001)


class InterruptedAt:
    """Raises KeyboardInterrupt in this thread before the `line`th line that it runs of the simulator's host side."""

    def __init__(self, line):
        self.left = line

    def __call__(self, frame, event, _):
        if frame.f_code.co_filename not in HOST_SIDE:
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self

    def run(self):
        """Whether the launch came to its end."""
        before = sys.gettrace()
        sys.settrace(self)
        try:
            meeting[2](DATA)
        finally:
            sys.settrace(before)
        return True


def test_an_interrupt_before_any_line_of_the_host_side_leaves_no_core():
    line, threads = 0, set(sys._current_frames())
    while True:
        line += 1
        try:
            done = InterruptedAt(line).run()
        except KeyboardInterrupt:
            assert_no_core_stays(threads)
            assert not neuron_core.is_running()
        else:
            assert done
            break
    assert line > 100  # all of them, until a launch was through
    assert_whole()


def seconds():
    started = time.perf_counter()
    meeting[2](DATA)
    return time.perf_counter() - started


@pytest.fixture
def no_collection():
    """Python prints interrupts of its collector's callbacks, such as hypothesis', instead of raising them."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer")
@pytest.mark.usefixtures("no_collection")
def test_none_of_a_thousand_interrupts_at_random_moments_leaves_a_core():
    longest = 1.2 * min(seconds() for _ in range(5))
    rng, interrupted, threads = random.Random(0), 0, set(sys._current_frames())
    handler = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        while interrupted < 1000:
            try:
                signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-5, longest))
                meeting[2](DATA)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
                assert_no_core_stays(threads)
                assert not neuron_core.is_running()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    assert_whole()
