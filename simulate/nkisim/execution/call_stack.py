# SPDX-License-Identifier: Apache-2.0
"""By which calls a core came to the instruction it executes, without walking the whole stack for each one.

Frames that were there at the instruction before are known, and so is all that called them; a generator alone may be
resumed from another line.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from inspect import CO_GENERATOR
from types import CodeType, FrameType

from nkisim.errors import Chain, Location, is_kernel, location_at
from nkisim.observe import Position


@dataclass(slots=True, eq=False)
class _Site:
    """A function, called from one chain of lines.

    Attributes:
        code: of the function. Sites are found by its identity: hashing code looks at all of it.
        chains: by place in its code, the chain that ends there; functions: called from there.
    """

    callers: Chain
    code: CodeType | None = None
    chains: dict[int, Chain] = field(default_factory=dict)
    functions: dict[tuple[int, int], _Site] = field(default_factory=dict)


_NOWHERE = Position(())
_ANYWHERE = Position((Location("<lines are not kept>", 0),))
_NONE_MADE: dict[int, int] = {}
_NO_GENERATORS: dict[tuple[int, FrameType], _Call] = {}
"""Of most calls: they issue instructions and call nothing that does."""


class _Call:
    """A call that has not returned.

    Attributes:
        calls: as in `Position`.
        made: by place in its code, how many calls it has made from there.
        generators: it has begun, by that place and their frame.
        place, position: of its last instruction.
    """

    __slots__ = ("calls", "generators", "made", "place", "position", "site")

    def __init__(self, site: _Site, calls: tuple[int, ...]) -> None:
        self.site, self.calls = site, calls
        self.made: dict[int, int] = _NONE_MADE
        self.generators: dict[tuple[int, FrameType], _Call] = _NO_GENERATORS
        self.place, self.position = -1, _NOWHERE


class CallStack:
    """The calls of one core."""

    def __init__(self) -> None:
        self._calls: dict[FrameType, _Call] = {}
        self._last: FrameType | None = None

    def begin(self, entry: FrameType) -> None:
        """A kernel is about to be called from this frame."""
        self._calls[entry], self._last = _Call(_Site(()), ()), entry

    def position(self) -> Position:
        """Where the core is."""
        calls, fresh = self._calls, []
        frame = sys._getframe(1)
        while frame not in calls or frame.f_code.co_flags & CO_GENERATOR:
            if is_kernel[frame.f_code.co_filename]:
                fresh.append(frame)
            assert frame.f_back is not None, "an instruction is called from the entry"
            frame = frame.f_back
        if frame is not self._last:
            while next(reversed(calls)) is not frame:
                calls.popitem()
        call = calls[frame]
        for called in reversed(fresh):
            call = calls[called] = _called(call, frame, called)
            frame = called
        self._last = frame
        place = frame.f_lasti
        if place != call.place:
            call.place, call.position = place, Position(_chain(call, frame), call.calls)
        return call.position

    def end(self) -> None:
        """The kernel is over: forget its frames, and with them its tensors."""
        self._calls.clear()
        self._last = None


class NoLines(CallStack):
    """Of a launch that nobody asks for lines of its kernel."""

    def begin(self, entry: FrameType) -> None:
        """Nothing is kept."""

    def position(self) -> Position:
        """The same everywhere."""
        return _ANYWHERE


def _called(caller: _Call, frame: FrameType, called: FrameType) -> _Call:
    """The call that `caller`, in `frame`, is making."""
    place = frame.f_lasti
    known = caller.generators.get((place, called)) if caller.generators else None
    if known is not None:
        return known
    code = called.f_code
    site = caller.site.functions.get((place, id(code)))
    if site is None:
        site = caller.site.functions[place, id(code)] = _Site(_chain(caller, frame), code)
    if not caller.made:
        caller.made, caller.generators = {}, {}
    number = caller.made.get(place, 0)
    caller.made[place] = number + 1
    call = _Call(site, (*caller.calls, number))
    if code.co_flags & CO_GENERATOR:
        caller.generators[place, called] = call
    return call


def _chain(call: _Call, frame: FrameType) -> Chain:
    """The chain that ends where `call` is."""
    place = frame.f_lasti
    chain = call.site.chains.get(place)
    if chain is None:
        own = (location_at(frame.f_code.co_filename, frame.f_lineno),) if call.calls else ()  # the entry is no kernel
        chain = call.site.chains[place] = (*call.site.callers, *own)
    return chain
