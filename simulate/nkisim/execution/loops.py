"""Device loops. The real tracer sees a body once, so every iteration must issue the same instructions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nkisim.errors import ArgumentError, LoopError, kernel_location
from nkisim.execution.neuron_core import Iteration, current_core
from nkisim.execution.registers import VirtualRegister
from nkisim.memory import RegisterValue
from nkisim.memory.storage import next_identity


def fori_loop(lower: Any, upper: Any, body_fun: Callable[[Any], None], step: int = 1) -> None:
    """Run `body_fun(i)` for i = lower, lower + step, ... below upper; bounds are ints or registers.

    Raises:
        LoopError: two iterations issue different instruction sequences.
    """
    if not isinstance(step, int) or step < 1:
        raise ArgumentError("the step of a device loop is a positive int", f"{step!r}", "Use a constant step.")
    body = _Body()
    for value in range(_bound(lower), _bound(upper), step):
        body.run(lambda value=value: body_fun(VirtualRegister(value)))  # type: ignore[misc]
    body.close()


def while_loop(init: Any, body_fun: Callable[[Any], Any]) -> None:
    """Run `r = body_fun(r)` while the register r is not zero."""
    condition = init
    body = _Body()
    while _bound(condition) != 0:
        passed = VirtualRegister(_bound(condition))
        condition = body.run(lambda passed=passed: body_fun(passed))  # type: ignore[misc]
        if not isinstance(condition, RegisterValue):
            raise LoopError(
                "the body of while_loop returns the next condition register",
                f"{condition!r}",
                "Return a register.",
            )
    body.close()


def _bound(value: Any) -> int:
    if isinstance(value, RegisterValue):
        return value.read()
    if isinstance(value, int):
        return value
    raise ArgumentError("loop bounds are ints or registers", f"{type(value).__name__}", "Load it with register_load.")


class _Body:
    """Compares the instruction sequence of each iteration with the first one's."""

    def __init__(self) -> None:
        self._first: list[object] | None = None
        self._core = current_core()
        self._where = kernel_location()
        self._since = next_identity()

    def run(self, iteration: Callable[[], Any]) -> Any:
        self._core.iterations.append(Iteration(self._since))
        result = iteration()
        issued = self._core.iterations.pop().issued
        if self._first is None:
            self._first = issued
        elif issued != self._first:
            raise self._diverged(self._first, issued)
        return result

    def close(self) -> None:
        """An inner loop counts in its parent's body as one entry, however often it ran."""
        if self._core.iterations:
            self._core.iterations[-1].issued.append(("loop", self._where))

    def _diverged(self, first: list[object], other: list[object]) -> LoopError:
        at = next(
            (i for i, (a, b) in enumerate(zip(first, other, strict=False)) if a != b),
            min(len(first), len(other)),
        )
        expected = first[at] if at < len(first) else "the end of the body"
        actual = other[at] if at < len(other) else "the end of the body"
        return LoopError(
            "every iteration of a device loop issues the same instructions, because the body is traced once",
            f"instruction {at} is {actual} where the first iteration had {expected}",
            "Move Python state that changes between iterations into SBUF, HBM or registers.",
            self._where,
        )
