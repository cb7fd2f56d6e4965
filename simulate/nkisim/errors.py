# SPDX-License-Identifier: Apache-2.0
"""Every problem nkisim reports, one class each, and where in the kernel it happened.

A message always says four things: the rule, the actual value, the place in the kernel, and what to do.
All classes derive from `NkiValidationError`, the name AWS publishes as `nki.isa.NkiValidationError`.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FrameType, TracebackType
from typing import Any, NamedTuple, TypeVar

import numpy as np

from nkisim.renamed import in_newer_names

_NO_KERNELS = tuple(os.path.dirname(os.path.abspath(file)) + os.sep for file in (__file__, np.__file__))
_LIBRARY = os.path.dirname(os.__file__)
_MOST_CALLERS = 4  # that a message names


class Location(NamedTuple):
    """A line of kernel source."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{shown(self.file)}:{self.line}"


Chain = tuple[Location, ...]
"""A kernel line and the calls that lead to it: a line of the kernel's own function first, the line itself last."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


def shown(file: str) -> str:
    """A source file as people are told it: from the folder they are in; a notebook's cell as IPython calls it."""
    return cell_name(file) or (os.path.relpath(file) if os.path.isabs(file) else file)


def cell_name(file: str) -> str:
    """What IPython calls a notebook's cell, such as Cell In[3]; empty for what is no cell of this process.

    IPython keeps a cell's source under a made-up path."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return "" if shell is None else " ".join(shell.compile.format_code_name(file) or ())


def warning_level() -> int:
    """`stacklevel` with which the caller's `warnings.warn` names the kernel line that is executing."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and not is_kernel[frame.f_code.co_filename]:
        frame, level = frame.f_back, level + 1
    return level


def kernel_location() -> Location:
    """The kernel line that is executing: the innermost frame outside the simulator, NumPy and Python's own library."""
    frame = sys._getframe(1)
    while frame.f_back is not None and not is_kernel[frame.f_code.co_filename]:
        frame = frame.f_back
    return location_at(frame.f_code.co_filename, frame.f_lineno)


def kernel_chain() -> Chain:
    """The kernel line that is executing, and the calls that led to it; outside of a launch that line alone."""
    frame: FrameType | None = sys._getframe(1)
    found: list[Location] = []
    while frame is not None and frame.f_code not in _entries:
        if is_kernel[frame.f_code.co_filename]:
            found.append(location_at(frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back
    return (kernel_location(),) if frame is None or not found else tuple(reversed(found))


def kernel_entry(function: _Function) -> _Function:
    """Marks what calls kernels: who called it is no part of any kernel."""
    _entries.add(function.__code__)
    return function


def location_in(traceback: TracebackType | None) -> Location:
    """The innermost line of a traceback outside the simulator, NumPy and Python's own library."""
    lines = [(t.tb_frame.f_code.co_filename, t.tb_lineno) for t in _steps(traceback)]
    own = (line for line in reversed(lines) if is_kernel[line[0]])
    return location_at(*next(own, lines[-1]))


def definition_of(function: Callable[..., Any]) -> Location:
    """Where a kernel begins; the line that is executing, of a callable that no source defines."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return kernel_location() if code is None else location_at(code.co_filename, code.co_firstlineno)


def retold(error: BaseException) -> str:
    """An error of somebody's code in one line: its kind, what it says, and where in that code it was raised."""
    said = " ".join(str(error).split())
    if isinstance(error, SyntaxError) or error.__traceback__ is None:  # which says itself where
        return f"{type(error).__name__}: {said}"
    place = location_in(error.__traceback__)
    is_theirs = is_kernel[place.file] and not place.file.startswith("<")
    return f"{type(error).__name__}: {said}" + f" ({place})" * is_theirs


def _steps(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


class _Files(dict[str, bool]):
    """Whether a source file may be a kernel's: neither the simulator's nor NumPy's nor Python's own library."""

    def __missing__(self, file: str) -> bool:
        is_python = file.startswith("<frozen ") or (file.startswith(_LIBRARY) and "site-packages" not in file)
        found = self[file] = not file.startswith(_NO_KERNELS) and not is_python
        return found


is_kernel = _Files()
location_at = functools.lru_cache(maxsize=1 << 16)(Location)
_entries: set[CodeType] = set()


class NkiValidationError(Exception):
    """A hardware constraint is violated."""


class SimulationError(NkiValidationError):
    """Base of nkisim's own errors.

    Args:
        rule: the constraint, as a sentence.
        actual: what was found instead.
        fix: what the kernel author can do.
        where: the kernel line, or the calls that led to it; by default those executing now.

    Attributes:
        where: the kernel line.
        callers: the lines from which its function was called, the nearest first.
    """

    code = "NKI000"

    def __init__(self, rule: str, actual: object, fix: str, where: Location | Chain | None = None) -> None:
        self.rule, self.actual, self.fix = in_newer_names(rule), str(actual), in_newer_names(fix)
        chain = (where,) if isinstance(where, Location) else where or kernel_chain()
        self.where, self.callers = chain[-1], chain[-2::-1]
        super().__init__(f"{self.code}: {self.rule}; got {actual} ({_told(chain)}). {self.fix}")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.rule, self.actual, self.fix, (*reversed(self.callers), self.where))


def _told(chain: Chain) -> str:
    """The line and its nearest callers."""
    lines = [str(line) for line, callee in zip(chain, (*chain[1:], None), strict=True) if line != callee][::-1]
    more = len(lines) - 1 - _MOST_CALLERS
    callers = [*lines[1 : 1 + _MOST_CALLERS], *([f"{more} more"] if more > 0 else [])]
    return f"{lines[0]}, called from {', '.join(callers)}" if callers else lines[0]


class NotSimulated(SimulationError, NotImplementedError):
    """The documents leave this open, or nkisim does not model it yet."""

    code = "NKI001"


class ArgumentError(SimulationError, TypeError):
    """An argument has the wrong kind, or would have no effect."""

    code = "NKI101"


class ShapeError(SimulationError):
    """Sizes of operands do not fit each other or the instruction."""

    code = "NKI102"


class DtypeError(SimulationError):
    """A data type is not legal for this operand."""

    code = "NKI103"


class BufferRuleError(SimulationError):
    """An operand lives in a memory the engine cannot reach."""

    code = "NKI104"


class EngineError(SimulationError):
    """The engine cannot execute this operation."""

    code = "NKI105"


class TargetError(SimulationError):
    """The NeuronCore generation does not have this feature."""

    code = "NKI106"


class GridError(SimulationError, ValueError):
    """The tiles or blocks of a grid do not fit its source."""

    code = "NKI107"


class DuplicateName(SimulationError):
    """Two tensors or instructions of one kernel have the same name."""

    code = "NKI108"


class UnknownName(SimulationError, AttributeError):
    """A tensor, a memory or a module has no such name."""

    code = "NKI109"


class ViewError(SimulationError):
    """A view cannot be expressed as a hardware access pattern."""

    code = "NKI201"


class PartitionError(SimulationError):
    """Too many partitions, or an access starts on an illegal one."""

    code = "NKI202"


class PsumBankError(SimulationError):
    """A PSUM access does not respect the 2 KiB banks."""

    code = "NKI203"


class OutOfBounds(SimulationError, IndexError):
    """An access leaves its tensor."""

    code = "NKI204"


class AccumulationError(SimulationError):
    """A matmul accumulates onto PSUM contents that no matmul has started."""

    code = "NKI205"


class RegisterError(SimulationError, TypeError):
    """A device register is used as a Python value, or before it holds one."""

    code = "NKI301"


class LoopError(SimulationError):
    """A device loop whose body is not the same instruction sequence every time."""

    code = "NKI302"


class LaunchError(SimulationError):
    """The kernel cannot be launched as asked."""

    code = "NKI303"


class DeadlockError(SimulationError):
    """The cores wait for each other in ways that can never be satisfied."""

    code = "NKI304"


class UninitializedRead(SimulationError):
    """An instruction reads bytes that nothing wrote."""

    code = "NKI401"


class CapacityError(SimulationError):
    """The tensors alive at one moment do not fit in SBUF or PSUM."""

    code = "NKI402"


class DataRace(SimulationError):
    """Both cores touch the same bytes of shared HBM, one writing, and nothing orders the two."""

    code = "NKI403"


class DuplicateRow(SimulationError):
    """A scatter writes one row more than once."""

    code = "NKI404"


class OverlapError(SimulationError):
    """A tensor is read where another one with an overlapping address was written."""

    code = "NKI405"


class LostResult(SimulationError):
    """A matmul result is overwritten before anything reads it."""

    code = "NKI406"


class DmaOrderError(SimulationError):
    """A result depends on when a DMA transfer completes."""

    code = "NKI407"


class NoEffect(SimulationError):
    """An argument changes nothing. A note: it is listed, never raised."""

    code = "NKI408"


class InvalidInput(SimulationError):
    """An input has a result that the documents call invalid, undefined or rounded. A note: listed, never raised."""

    code = "NKI409"


class DeviceRisk(SimulationError):
    """Some report that a device refuses it or gets it wrong, and others rely on it. A note, unless it is refused."""

    code = "NKI410"


class NeighbouringSum(DeviceRisk):
    """Two sums of matmuls share a bank of one PSUM tensor. A note, unless it is refused."""

    code = "NKI411"


def known_codes(base: type[SimulationError] = SimulationError) -> frozenset[str]:
    """Codes of all errors."""
    return frozenset({base.code}).union(*map(known_codes, base.__subclasses__()))
