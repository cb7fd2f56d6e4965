# SPDX-License-Identifier: Apache-2.0
"""Device loops. The real tracer sees a body once, so every iteration must issue the same instructions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nkisim.errors import ArgumentError, DeviceRisk, DtypeError, LoopError, kernel_location
from nkisim.execution.neuron_core import current_core
from nkisim.execution.registers import VirtualRegister
from nkisim.execution.traced import Iteration, difference
from nkisim.memory import RegisterValue
from nkisim.memory.storage import next_identity
from nkisim.observe import LoopMark, Note


def fori_loop(lower: Any, upper: Any, body_fun: Callable[[Any], None], step: int = 1) -> None:
    """Run `body_fun(i)` for i = lower, lower + step, ... below upper; bounds are ints or registers.

    Raises:
        LoopError: two iterations issue different instruction sequences.
    """
    if not isinstance(step, int) or step < 1:
        raise ArgumentError("the step of a device loop is a positive int", f"{step!r}", "Use a constant step.")
    body = _Body()
    for value in body.values(lower, upper, step):
        body.run(lambda value=value: body_fun(VirtualRegister(value)))  # type: ignore[misc]
    body.close()


def while_loop(init: Any, body_fun: Callable[[Any], Any]) -> None:
    """Run `r = body_fun(r)` while the register r is not zero."""
    condition = init
    body = _Body()

    def iterate() -> Any:
        passed = VirtualRegister(_bound(condition))
        following = body.run(lambda: body_fun(passed))
        if not isinstance(following, RegisterValue):
            raise LoopError(
                "the body of while_loop returns the next condition register",
                f"{following!r}",
                "Return a register.",
            )
        return following

    if current_core().only_traces or _bound(condition) == 0:
        with body.traced_only():
            iterate()
    else:
        while _bound(condition) != 0:
            condition = iterate()
    body.close()


def device_range(lower: Any, upper: Any, step: int = 1) -> Iterator[VirtualRegister]:
    """A device loop written as `for i in ...`; yields the iteration register. Leaving it early is not checked.

    Raises:
        LoopError: two iterations issue different instruction sequences.
    """
    body = _Body()
    for value in body.values(lower, upper, step):
        body.open()
        try:
            yield VirtualRegister(value)
        except GeneratorExit:
            body.leave()
            body.close()
            raise
        body.shut()
    body.close()


def _bound(value: Any) -> int:
    if getattr(value, "dtype", None) == "int64":
        raise DtypeError("a loop is bounded by ints and 32-bit scalars", "int64", "Load the bound from an int32 tile.")
    if isinstance(value, RegisterValue):
        return value.read()
    if isinstance(value, int):
        return value
    raise ArgumentError("loop bounds are ints or registers", f"{type(value).__name__}", "Load it with register_load.")


def _nested() -> DeviceRisk:
    return DeviceRisk(
        "device loops are not nested: compilers were seen to fail on it",
        "a loop in the body of another",
        "Unroll the inner loop, or make one loop of both.",
    )


class _Body:
    """Compares the instruction sequence of each iteration with the first one's."""

    def __init__(self) -> None:
        self._first: list[object] | None = None
        self._core = current_core()
        self._where = kernel_location()
        self._since = next_identity()
        self._mark(LoopMark.begin)
        if self._core.iterations:
            self._core.watch.report(Note(_nested()))

    def _mark(self, mark: LoopMark) -> None:
        self._core.watch.loop(self._core.identity, mark, self._since)

    @contextmanager
    def traced_only(self) -> Iterator[None]:
        """Inside, instructions are checked and not carried out."""
        before, self._core.only_traces = self._core.only_traces, True
        try:
            yield
        finally:
            self._core.only_traces = before

    def values(self, lower: Any, upper: Any, step: int) -> Iterator[int]:
        """What the iteration register takes on. A loop that runs zero times is traced all the same, once."""
        iterations = range(_bound(lower), _bound(upper), step)
        if iterations and not self._core.only_traces:
            yield from iterations
        else:
            with self.traced_only():
                yield iterations.start

    def run(self, iteration: Callable[[], Any]) -> Any:
        """One iteration, as a function."""
        self.open()
        result = iteration()
        self.shut()
        return result

    def open(self) -> None:
        """An iteration begins."""
        if not self._core.only_traces:
            self._mark(LoopMark.iteration)
        self._core.iterations.append(Iteration(self._since, repeats=self._first is not None))

    def leave(self) -> list[object]:
        """The iteration is over, with all that it allocated; returns its instructions."""
        self._core.scopes.end(self._since, next_identity())
        return self._core.iterations.pop().issued

    def shut(self) -> None:
        """The iteration is over, and is compared with the first one.

        Raises:
            LoopError: they differ.
        """
        issued = self.leave()
        if self._first is None:
            self._first = issued
            return
        found = difference(self._first, issued)
        if found is not None:
            raise LoopError(
                "every iteration of a device loop issues the same instructions, because the body is traced once",
                found,
                "Move Python state that changes between iterations into SBUF, HBM or registers.",
                self._where,
            )

    def close(self) -> None:
        """An inner loop counts in its parent's body as one entry, however often it ran."""
        self._mark(LoopMark.end)
        if self._core.iterations:
            self._core.iterations[-1].issued.append(("loop", self._where))
