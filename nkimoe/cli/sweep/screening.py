# SPDX-License-Identifier: Apache-2.0
"""Which points of a sweep are worth a prediction, where only the best rows are asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from nkimoe.cli.sweep.judge import OBJECTIVES, kind_of, latency_of
from nkimoe.cli.sweep.row import SweepRow

FAR = 1.3
"""So many times as bad as the best row: more than estimates of a kind have been found to be wrong beside each other."""


def promising(rows: Mapping[int, SweepRow], objective: str) -> list[int]:
    """Which rows to predict next so that none remains that may be the best of its kind: the one with the best estimate
    where none is predicted; else all that are not estimated to be FAR from the best one predicted, from its prediction
    or, as estimates of a kind are too long together, from its estimate. The slowest come first, so that no processor is
    left alone with it at the end.

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
        estimates = {n: of_row(rows[n], rows[n].point.estimated_us) for n in kind}
        predictions = {n: of_row(rows[n], us) for n in kind if (us := latency_of(rows[n])) is not None}
        most = min(estimates.values())
        if predictions:
            best = min(predictions, key=lambda n: predictions[n])
            most = FAR * max(predictions[best], estimates[best])
        found += [n for n in estimates.keys() - predictions.keys() if estimates[n] <= most]
    return sorted(found, key=lambda number: (-rows[number].point.estimated_us, number))
