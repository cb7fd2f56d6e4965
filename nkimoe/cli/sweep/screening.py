# SPDX-License-Identifier: Apache-2.0
"""Which points of a sweep are worth a prediction, where only the best rows are asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from nkimoe.cli.sweep.judge import OBJECTIVES, kind_of, latency_of
from nkimoe.cli.sweep.row import SweepRow

FAR = 1.25
"""A row need not be predicted that is estimated to be so many times as bad as the best one predicted of its kind."""


def promising(rows: Mapping[int, SweepRow], objective: str) -> list[int]:
    """Which rows to predict next so that none remains that may be the best of its kind: the one with the best estimate
    where none is predicted; else all that are not estimated FAR from the best prediction. The slowest come first, so
    that no processor is left alone with it at the end.

    Args:
        rows: by number, those that are predicted included.
    """
    of_row = OBJECTIVES[objective]
    kinds: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for number, row in rows.items():
        if not row.outcome.reason:
            kinds[kind_of(row)].append(number)
    found = []
    for kind in kinds.values():
        best = min((of_row(rows[n], us) for n in kind if (us := latency_of(rows[n])) is not None), default=None)
        estimates = {n: of_row(rows[n], rows[n].point.estimated_us) for n in kind if rows[n].prediction is None}
        most = FAR * best if best is not None else min(estimates.values(), default=0.0)
        found += [n for n, estimate in estimates.items() if estimate <= most]
    return sorted(found, key=lambda number: -rows[number].point.estimated_us)
