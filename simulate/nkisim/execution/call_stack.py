"""By which calls a core came to the instruction it executes, without walking the whole stack for each one.

Frames that were there at the instruction before are known, and so is all that called them; a generator alone may be
resumed from another line.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from inspect import CO_GENERATOR
from types import CodeType, FrameType

from nkisim.errors import Chain, is_kernel, location_at
from nkisim.observe import Position


@dataclass(slots=True, eq=False)
class _Site:
    """A function, called from one chain of lines.

    Attributes:
        chains: by place in its code, the chain that ends there; functions: called from there.
    """

    callers: Chain
    chains: dict[int, Chain] = field(default_factory=dict)
    functions: dict[tuple[int, CodeType], _Site] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Call:
    """A call that has not returned.

    Attributes:
        calls: as in `Position`.
        made: by place in its code, how many calls it has made from there.
        generators: it has begun.
    """

    site: _Site
    calls: tuple[int, ...]
    made: dict[int, int] = field(default_factory=dict)
    generators: dict[tuple[int, FrameType], _Call] = field(default_factory=dict)


class CallStack:
    """The calls of one core.

    Args:
        entry: the frame that calls the kernel.
    """

    def __init__(self, entry: FrameType) -> None:
        self._calls: dict[FrameType, _Call] = {entry: _Call(_Site(()), ())}

    def position(self, iterations: tuple[int, ...]) -> Position:
        """Where the core is, in these iterations of device loops."""
        calls, fresh = self._calls, []
        frame = sys._getframe(1)
        while frame not in calls or frame.f_code.co_flags & CO_GENERATOR:
            if is_kernel[frame.f_code.co_filename]:
                fresh.append(frame)
            assert frame.f_back is not None, "an instruction is called from the entry"
            frame = frame.f_back
        while next(reversed(calls)) is not frame:
            calls.popitem()
        call = calls[frame]
        for called in reversed(fresh):
            call = calls[called] = _called(call, frame, called)
            frame = called
        return Position(_chain(call, frame), call.calls, iterations)

    def clear(self) -> None:
        """The kernel is over: forget its frames, and with them its tensors."""
        self._calls.clear()


def _called(caller: _Call, frame: FrameType, called: FrameType) -> _Call:
    """The call that `caller`, in `frame`, is making."""
    place = frame.f_lasti
    known = caller.generators.get((place, called))
    if known is not None:
        return known
    site = caller.site.functions.get((place, called.f_code))
    if site is None:
        site = caller.site.functions[place, called.f_code] = _Site(_chain(caller, frame))
    number = caller.made.get(place, 0)
    caller.made[place] = number + 1
    call = _Call(site, (*caller.calls, number))
    if called.f_code.co_flags & CO_GENERATOR:
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
