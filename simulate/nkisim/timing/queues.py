# SPDX-License-Identifier: Apache-2.0
"""A stream of instructions while a program is scheduled."""

from __future__ import annotations

from nkisim.machine import Machine
from nkisim.timing.engines import engine_of
from nkisim.timing.task import Stream

NEVER = float("inf")


class Queue:
    """Instructions of one stream, in order. At most `window` of them wait to start.

    Those before `limit` are of an epoch that has begun; `following` is the first that does not wait yet. None starts
    while `depth` descriptors or more are `under_way`: have not moved their bytes. Those in `held` wait for that. `last`
    and `reason` say what kept the queue until `free`.

    A queue that neither overtakes nor holds `runs_ahead`: its instructions run on `engine` and start one by one, and
    others see what they did `seen_after` nanoseconds later.
    """

    __slots__ = (
        "core", "depth", "engine", "following", "free", "held", "last", "limit", "reason", "runs_ahead", "seen_after",
        "tasks", "under_way", "waiting", "window",
    )  # fmt: skip

    def __init__(self, stream: Stream, tasks: list[int], window: int, machine: Machine) -> None:
        (self.core, name), number = stream, machine.number
        self.tasks, self.window, self.engine = tasks, window, engine_of(name, machine)
        self.depth = number("dma.queued") if name.startswith("dge") else NEVER
        self.runs_ahead = window == 1 and self.depth == NEVER
        self.seen_after = number("dma.to_engine" if name == "dma" else "sync.semaphore")
        self.following = self.limit = self.waiting = self.under_way = 0
        self.held: list[int] = []
        self.free, self.last, self.reason = 0.0, -1, "queue"

    def admit(self) -> list[int]:
        """The instructions that wait from now on, as far as the window and the epoch go; of those that start one by one
        it is the next.
        """
        if self.runs_ahead:
            return self.tasks[self.following : min(self.following + 1, self.limit)]
        first, count = self.following, min(self.window - self.waiting, self.limit - self.following)
        self.following += count
        self.waiting += count
        return self.tasks[first : first + count]
