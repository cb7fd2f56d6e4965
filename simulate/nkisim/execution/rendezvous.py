# SPDX-License-Identifier: Apache-2.0
"""How the two cores of an LNC pair take turns and meet.

Only one core runs at a time: core 0 until it waits, then core 1 until it waits, and so on. The order of execution,
and with it every bit of the result, is therefore the same on every run.

There is no lock: an interrupt of the host may strike between any two steps, and one that had been taken by then would
keep the other core waiting for ever.
"""

from __future__ import annotations

from queue import SimpleQueue
from typing import Any

from nkisim.errors import DeadlockError, Location


class CoreStopped(BaseException):
    """Raised inside a core whose partner failed. Not an `Exception`: kernels must not catch it."""


class Rendezvous:
    """A meeting point of `cores` threads that run one at a time: whoever has the turn may touch the rest."""

    def __init__(self, cores: int) -> None:
        self._turns: list[SimpleQueue[None]] = [SimpleQueue() for _ in range(cores)]
        self._waiting: dict[int, tuple[object, Location, Any]] = {}
        self._delivered: dict[int, dict[int, Any]] = {}
        self._finished: set[int] = set()
        self._failure: BaseException | None = None
        self._turns[0].put(None)

    def start(self, core: int) -> None:
        """Block until it is this core's turn to run."""
        self._await_turn(core)

    def finish(self, core: int) -> None:
        """This core has run to its end."""
        self._finished.add(core)
        self._pass_turn(core)

    def fail(self, error: BaseException) -> None:
        """A core failed: the others stop at their next instruction, and if they wait, now."""
        self._failure = self._failure or error
        for turn in self._turns:
            turn.put(None)

    def go_on(self) -> None:
        """Raises CoreStopped where another core has failed."""
        if self._failure is not None:
            raise CoreStopped

    def meet(self, core: int, key: object, where: Location, offer: Any = None) -> dict[int, Any]:
        """Wait until every core has come to the same meeting; returns what each one offered.

        Args:
            key: identifies the meeting; all cores must bring the same one.
        """
        self._waiting[core] = (key, where, offer)
        if len(self._waiting) == len(self._turns):
            self._hold_meeting()
        self._pass_turn(core)
        self._await_turn(core)
        return self._delivered.pop(core)

    def _hold_meeting(self) -> None:
        if len({key for key, _, _ in self._waiting.values()}) != 1:
            mismatch = self._mismatch()
            self.fail(mismatch)
            raise mismatch
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
        runnable = [c for c in range(len(self._turns)) if c not in self._waiting and c not in self._finished]
        if runnable:
            later = [c for c in runnable if c > core]
            self._turns[later[0] if later else runnable[0]].put(None)
        elif self._waiting:
            stuck, (key, where, _) = next(iter(self._waiting.items()))
            self.fail(
                DeadlockError(
                    "every core comes to each barrier and exchange",
                    f"core {stuck} waits for {key}, the other core has finished",
                    "Reach the barrier on both cores, or on none.",
                    where,
                )
            )

    def _await_turn(self, core: int) -> None:
        self._turns[core].get()
        if isinstance(self._failure, DeadlockError) and core in self._waiting:
            raise self._failure
        self.go_on()
