# SPDX-License-Identifier: Apache-2.0
"""Rows of points: what is known of them, and what is kept."""

from __future__ import annotations

from dataclasses import dataclass

from nkimoe.cli.sweep.point import Outcome, request_of
from nkimoe.cli.sweep.row import Point, SweepRow
from nkimoe.sweep.store import Store


@dataclass(frozen=True)
class Sweeping:
    """How the points of a sweep become rows.

    Attributes:
        store: of earlier predictions; None: nothing is kept.
        price_per_hour: of what one rank runs on.
    """

    store: Store | None
    price_per_hour: float | None

    def row(self, point: Point) -> SweepRow:
        """What is known before anything is predicted: why the point is impossible, what an earlier sweep predicted, or
        the estimate alone.
        """
        kept = self.store.get(request_of(point.setup)) if point.setup and self.store else None
        outcome = Outcome(None, point.reason) if kept is None else Outcome.from_json(kept)
        return SweepRow(point, outcome, self.price_per_hour)

    def predicted(self, point: Point, outcome: Outcome) -> SweepRow:
        """The row of a point with its outcome, which is kept for later sweeps if it is a prediction."""
        if point.setup and self.store and outcome.prediction is not None:
            self.store.keep(request_of(point.setup), outcome.as_json())
        return SweepRow(point, outcome, self.price_per_hour)
