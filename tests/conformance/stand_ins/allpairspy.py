"""Pairwise covering of parameter values, for test modules that generate their cases with `allpairspy.AllPairs`."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any

_CANDIDATES = 300


class AllPairs:
    """Iterates over lists of values such that, as far as `filter_func` allows, every pair of values occurs."""

    def __init__(
        self, parameters: Sequence[Sequence[Any]], filter_func: Callable[[list[Any]], bool] | None = None
    ) -> None:
        self._values = [list(values) for values in parameters]
        self._allowed = filter_func or (lambda row: True)

    def __iter__(self) -> Iterator[list[Any]]:
        chooser = random.Random(0)
        missing = {
            ((i, a), (j, b))
            for i, j in combinations(range(len(self._values)), 2)
            for a in range(len(self._values[i]))
            for b in range(len(self._values[j]))
        }
        while missing:
            wanted = min(missing)
            rows = [row for row in self._candidates(wanted, chooser) if self._allowed(self._row(row))]
            best = max(rows, key=lambda row: len(missing & self._pairs(row)), default=None)
            missing -= {wanted} | (self._pairs(best) if best else set())
            if best:
                yield self._row(best)

    def _candidates(self, wanted: tuple[tuple[int, int], ...], chooser: random.Random) -> Iterator[list[int]]:
        for _ in range(_CANDIDATES):
            row = [chooser.randrange(len(values)) for values in self._values]
            for position, value in wanted:
                row[position] = value
            yield row

    def _row(self, indices: Sequence[int]) -> list[Any]:
        return [values[i] for values, i in zip(self._values, indices, strict=True)]

    @staticmethod
    def _pairs(indices: Sequence[int]) -> set[tuple[tuple[int, int], ...]]:
        return set(combinations(enumerate(indices), 2))
