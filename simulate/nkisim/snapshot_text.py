# SPDX-License-Identifier: Apache-2.0
"""What a tapped tensor held, as text."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nkisim.dtypes import Array
from nkisim.execution.taps import Snapshot
from nkisim.observe import Position
from nkisim.report.source_text import function_at

MOST_VALUES = 8


def describe_snapshot(name: str, number: int, snapshot: Snapshot) -> str:
    """Shape, type, core, who wrote and read it, statistics and the first values.

    Args:
        number: how many snapshots of the tensor came before.
    """
    values: Array = snapshot.values
    return "\n  ".join([
        f"tap {name} {number}: {list(values.shape)} {values.dtype} on core {snapshot.core}, written at "
        f"{_where(snapshot.written)}, read at {snapshot.where}",
        *_statistics(values),
    ])  # fmt: skip


def _where(position: Position) -> str:
    """The line, and which call of its functions it was, where there was more than one."""
    pairs = zip(position.chain, position.calls, strict=True)
    calls = [f"call {call} of {function_at(line) or 'the lambda'}" for line, call in pairs if call]
    return f"{position.location} ({', '.join(calls)})" if calls else str(position.location)


def _statistics(values: Array) -> Iterator[str]:
    if values.dtype.fields is not None or not values.size:
        return
    numbers = values.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    if finite.size:
        yield (
            f"min {finite.min():.6g}, max {finite.max():.6g}, mean {finite.mean():.6g}, "
            f"root mean square {np.sqrt(np.mean(finite**2)):.6g}, not finite {values.size - finite.size}"
        )
    more = ", ..." if values.size > MOST_VALUES else ""
    yield f"[{', '.join(f'{value:.6g}' for value in numbers.flat[:MOST_VALUES])}{more}]"
