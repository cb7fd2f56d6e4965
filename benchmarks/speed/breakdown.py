"""Where a simulation spends its time: one cProfile run, own times grouped by part of nkisim.

Time in NumPy, in the interpreter's built-ins and in the standard library counts for whoever called it.
"""

from __future__ import annotations

import cProfile
import pstats
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nkimoe
import nkisim

Function = tuple[str, int, str]
Stats = dict[Function, Any]
Shares = dict[str, float]
ARITHMETIC, DOOR, VIEWS, GUARDS = "arithmetic (NumPy)", "memory door", "views and allocation", "guards"
DISPATCH, OBSERVERS, KERNEL, REST = "dispatch and events", "observers", "kernel Python", "launch and other"
GROUPS = (ARITHMETIC, DOOR, VIEWS, GUARDS, DISPATCH, OBSERVERS, KERNEL, REST)

# The first prefix that matches a path inside nkisim decides.
_BY_PATH = (
    ("operations/operators.py", ARITHMETIC),
    ("operations/alu.py", ARITHMETIC),
    ("dtypes/", ARITHMETIC),
    ("operations/operation.py", DISPATCH),
    ("operations/instruction.py", DISPATCH),
    ("operations/", GUARDS),
    ("instructions/", GUARDS),
    ("memory/door.py", DOOR),
    ("memory/shadow.py", DOOR),
    ("memory/byte_map.py", DOOR),
    ("memory/footprint.py", DOOR),
    ("memory/storage.py", VIEWS),
    ("memory/", VIEWS),
    ("language/", VIEWS),
    ("observe/", OBSERVERS),
    ("execution/neuron_core.py", DISPATCH),
    ("execution/numerics.py", DISPATCH),
    ("execution/registers.py", DISPATCH),
    ("errors.py", DISPATCH),
)
_NKISIM, _NKIMOE = (str(Path(package.__file__ or "").parent) for package in (nkisim, nkimoe))
_MOST_FUNCTIONS = 15


def break_down(action: Callable[[], Any]) -> dict[str, Any]:
    """Profile one call: seconds and shares of each group, and the functions with most time of their own.

    The profiler makes every Python call dearer, NumPy's work not: shares of small functions come out too large.
    """
    profile = cProfile.Profile()
    profile.runcall(action)
    stats: Stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    owners: dict[Function, Shares] = {}
    seconds: dict[str, float] = defaultdict(float)
    for function, (_, _, own, _, _) in stats.items():
        for group, share in _owners(function, stats, owners).items():
            seconds[group] += own * share
    total = sum(seconds.values())
    ranked = sorted(stats.items(), key=lambda item: -item[1][2])[:_MOST_FUNCTIONS]
    return {
        "profiled_s": total,
        "calls": sum(calls for _, calls, _, _, _ in stats.values()),
        "groups": {name: {"seconds": seconds[name], "share": seconds[name] / total} for name in GROUPS},
        "functions": [
            {"function": _name(function), "calls": calls, "own_s": own, "total_s": cumulative}
            for function, (_, calls, own, cumulative, _) in ranked
        ],
    }


def group_of(function: Function) -> str | None:
    """The group of a function of nkisim or nkimoe; None for all others."""
    file, _, name = function
    if file.startswith(_NKIMOE):
        return KERNEL
    if not file.startswith(_NKISIM):
        return None
    inside = Path(file).relative_to(_NKISIM).as_posix()
    if inside.startswith(("instructions/", "operations/")) and name in ("compute", "<lambda>"):
        return ARITHMETIC
    return next((group for prefix, group in _BY_PATH if inside.startswith(prefix)), REST)


def _owners(function: Function, stats: Stats, known: dict[Function, Shares]) -> Shares:
    """Shares of a function's own time by group, through its callers when it belongs to none."""
    if function in known:
        return known[function]
    group = group_of(function)
    callers = stats[function][4] if function in stats else {}
    weights = {caller: numbers[2] for caller, numbers in callers.items()}
    total = sum(weights.values())
    if group is not None or not total:
        known[function] = {group or REST: 1.0}
        return known[function]
    known[function] = {REST: 1.0}  # until it is known, for functions that call each other
    shares: dict[str, float] = defaultdict(float)
    for caller, weight in weights.items():
        for name, share in _owners(caller, stats, known).items():
            shares[name] += share * weight / total
    known[function] = dict(shares)
    return known[function]


def _name(function: Function) -> str:
    file, line, name = function
    for root in (_NKISIM, _NKIMOE):
        if file.startswith(root):
            return f"{Path(file).relative_to(Path(root).parent).as_posix()}:{line} {name}"
    return name if file == "~" else f"{Path(file).name}:{line} {name}"
