"""All cases of a target, by name."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path

from on_device.case import Case
from on_device.layer_cases import LayerCases
from on_device.probe_cases import probe_cases


def cases_of(target: str, patterns: Iterable[str], nkilib: Path | None) -> dict[str, Case]:
    """Cases whose names match one of the patterns; all without patterns. Probes come first: they take least.

    Raises:
        ValueError: a pattern matches none.
    """
    everything = {case.name: case for case in chain(probe_cases(target), LayerCases(target, nkilib=nkilib))}
    wanted = tuple(patterns) or ("*",)
    for pattern in wanted:
        if not any(fnmatchcase(name, pattern) for name in everything):
            raise ValueError(f"no case of {target} is called {pattern!r}; --list prints them")
    return {name: case for name, case in everything.items() if any(fnmatchcase(name, each) for each in wanted)}
