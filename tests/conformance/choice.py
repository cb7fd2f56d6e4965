"""Which of the collected cases run, and at which size."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import is_dataclass
from typing import Any

import pytest


def name_of(item: pytest.Item) -> str:
    """Module and case, without folders."""
    return item.nodeid.rsplit("/", 1)[-1]


def belonging(items: list[pytest.Item], setup: dict[str, Any]) -> list[pytest.Item]:
    """The cases of the family, of those its modules have."""
    left_out, only = setup["leave_out"], setup["only"]
    return [
        item
        for item in items
        if re.search(only, name_of(item)) and not (left_out and re.search(left_out, name_of(item)))
    ]


def choose(items: list[pytest.Item], most: int) -> list[pytest.Item]:
    """At most `most` of the items: a fair share of every test function, spread over its parameters."""
    groups: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        groups[item.nodeid.split("[")[0] + str(_is_negative(item))].append(item)
    shares = _shares({key: len(group) for key, group in groups.items()}, most)
    return [item for key, group in groups.items() for item in spread(group, shares[key])]


def _is_negative(item: pytest.Item) -> bool:
    params = getattr(getattr(item, "callspec", None), "params", {})
    return bool(params.get("is_negative_test_case"))


def _shares(sizes: dict[str, int], total: int) -> dict[str, int]:
    """Round after round one more for each group that has more, until `total` is given out."""
    given = dict.fromkeys(sizes, 0)
    while sum(given.values()) < min(total, sum(sizes.values())):
        for key, size in sizes.items():
            if given[key] < size and sum(given.values()) < total:
                given[key] += 1
    return given


def unskip(items: list[pytest.Item], pattern: str) -> None:
    """Take the skip marks off the items whose names match."""
    for item in items:
        if pattern and re.search(pattern, name_of(item)):
            item.own_markers = [mark for mark in item.own_markers if mark.name != "skip"]


def spread(group: list[Any], count: int) -> list[Any]:
    """`count` of the group, at equal distances, the first one included."""
    return [group[i * len(group) // count] for i in range(count)]


def shrink(item: pytest.Item, largest: dict[str, int]) -> dict[str, list[int]]:
    """Replace parameters that are too large; returns what was replaced. Cases that expect a rejection stay as they are.

    Sizes are parameters themselves, or those of a case of their own generator, or fields of a configuration object.
    """
    if _is_negative(item):
        return {}
    params = getattr(getattr(item, "callspec", None), "params", {})
    ranged = params.get("range_test_options")
    configurations = [vars(value) for value in params.values() if is_dataclass(value)]
    changed = {}
    for sizes in (params, *(ranged.tensors.values() if ranged else ()), *configurations):
        for name, limit in largest.items():
            value = sizes.get(name)
            if isinstance(value, int) and value > limit:
                sizes[name] = limit
                changed[name] = [value, limit]
    return changed
