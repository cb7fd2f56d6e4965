# SPDX-License-Identifier: Apache-2.0
"""Device loops: what the body allocates lies at one address in all iterations."""

from __future__ import annotations

from dataclasses import dataclass, field

from nkisim.observe import LoopMark


@dataclass
class _Loop:
    """A loop that is running.

    Attributes:
        path: which loop it is: ordinals of the loops around it, and its own among those of the body.
        since: storages with a smaller identity are older than the loop.
        inner, fresh: loops and storages met in this iteration.
    """

    path: tuple[int, ...]
    since: int
    inner: int = 0
    fresh: int = 0


@dataclass
class LoopNames:
    """Names storages so that those an iteration allocates are the ones the first iteration allocated."""

    _running: list[_Loop] = field(default_factory=list)
    _names: dict[int, object] = field(default_factory=dict)
    _loops: int = 0

    def mark(self, mark: LoopMark, since: int) -> None:
        """A loop begins, goes on to its next iteration, or ends."""
        if mark is LoopMark.begin:
            self._running.append(_Loop(self._path(), since))
        elif mark is LoopMark.iteration:
            self._running[-1].inner = self._running[-1].fresh = 0
        else:
            self._running.pop()

    def name(self, identity: int) -> object:
        """The name of a storage: its identity, or its place in the innermost loop body that is older than it."""
        if not self._running and identity not in self._names:
            return identity
        known = self._names.get(identity)
        if known is None:
            known = self._names[identity] = self._fresh_name(identity)
        return known

    def _fresh_name(self, identity: int) -> object:
        for loop in reversed(self._running):
            if identity >= loop.since:
                loop.fresh += 1
                return (loop.path, loop.fresh)
        return identity

    def _path(self) -> tuple[int, ...]:
        if self._running:
            self._running[-1].inner += 1
            return (*self._running[-1].path, self._running[-1].inner)
        self._loops += 1
        return (self._loops,)
