"""How the two cores of an LNC pair take turns and meet.

Only one core runs at a time: core 0 until it waits, then core 1 until it waits, and so on. The order of execution,
and with it every bit of the result, is therefore the same on every run.
"""

from __future__ import annotations

import threading
from typing import Any

from nkisim.errors import DeadlockError, Location


class CoreStopped(BaseException):
    """Raised inside a core whose partner failed. Not an `Exception`: kernels must not catch it."""


class Rendezvous:
    """A meeting point of `cores` threads that run one at a time."""

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._condition = threading.Condition()
        self._turn = 0
        self._waiting: dict[int, tuple[object, Location, Any]] = {}
        self._delivered: dict[int, dict[int, Any]] = {}
        self._finished: set[int] = set()
        self._failure: BaseException | None = None

    def start(self, core: int) -> None:
        """Block until it is this core's turn to run."""
        with self._condition:
            self._await_turn(core)

    def finish(self, core: int) -> None:
        """This core has run to its end."""
        with self._condition:
            self._finished.add(core)
            self._pass_turn(core)

    def fail(self, core: int, error: BaseException) -> None:
        """This core failed: the others stop at their next wait."""
        with self._condition:
            self._failure = self._failure or error
            self._finished.add(core)
            self._condition.notify_all()

    def meet(self, core: int, key: object, where: Location, offer: Any = None) -> dict[int, Any]:
        """Wait until every core has come to the same meeting; returns what each one offered.

        Args:
            key: identifies the meeting; all cores must bring the same one.
        """
        with self._condition:
            self._waiting[core] = (key, where, offer)
            if len(self._waiting) == self._cores:
                self._hold_meeting()
            self._pass_turn(core)
            self._await_turn(core)
            return self._delivered.pop(core)

    def _hold_meeting(self) -> None:
        if len({key for key, _, _ in self._waiting.values()}) != 1:
            self._failure = self._mismatch()
            self._condition.notify_all()
            raise self._failure
        offers = {core: offer for core, (_, _, offer) in self._waiting.items()}
        self._delivered = {core: dict(offers) for core in offers}
        self._waiting.clear()

    def _mismatch(self) -> DeadlockError:
        waits = "; ".join(f"core {c} at {w} waits for {k}" for c, (k, w, _) in sorted(self._waiting.items()))
        last = self._waiting[max(self._waiting)][1]
        return DeadlockError(
            "both cores come to the same barriers and exchanges in the same order",
            waits,
            "Keep control flow around core_barrier and sendrecv identical on both cores.",
            last,
        )

    def _pass_turn(self, core: int) -> None:
        runnable = [c for c in range(self._cores) if c not in self._waiting and c not in self._finished]
        if runnable:
            later = [c for c in runnable if c > core]
            self._turn = later[0] if later else runnable[0]
        elif self._waiting and self._failure is None:
            key, where, _ = next(iter(self._waiting.values()))
            self._failure = DeadlockError(
                "every core comes to each barrier and exchange",
                f"core {next(iter(self._waiting))} waits for {key}, the other core has finished",
                "Reach the barrier on both cores, or on none.",
                where,
            )
        self._condition.notify_all()

    def _await_turn(self, core: int) -> None:
        self._condition.wait_for(lambda: self._failure is not None or (self._turn == core and self._may_run(core)))
        if self._failure is not None:
            if isinstance(self._failure, DeadlockError) and core in self._waiting:
                raise self._failure
            raise CoreStopped

    def _may_run(self, core: int) -> bool:
        return core not in self._waiting
