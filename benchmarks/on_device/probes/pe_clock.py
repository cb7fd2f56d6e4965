"""The clock of the Tensor Engine, read from a profile of bursts of matmuls behind pauses.

Time is cut into windows, in each of which the engine runs at full or at half clock: at full clock if it did enough in
the window before. So every burst behind a pause starts at half clock, and where it changes to full clock a window
begins. The length of the windows is the period that these moments share; enough is what lies between the most that a
window did which lost the clock and the least that one did which won it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import nki
import nki.isa as nisa
import numpy as np

from on_device.instruction_table import ProfiledInstruction
from on_device.probes.probe import ProfileProbe
from on_device.probes.tensor import COLUMNS, operands, psum
from on_device.probes.tiles import WIDTH, hand_back, load, sbuf

BURSTS, MATMULS = 96, 160  # 4.8 us at full clock: long enough to win it
WHOLE_LINKS, LINKS = 12, 17  # copies of a pause: of 1024 columns, and in all
PERIODS = np.arange(2500.0, 4500.0, 0.05)  # ns, among which the length of a window is sought
_GOLDEN = 0.6180339887


def varied_columns(burst: int) -> int:
    """Columns of the copies that make this pause differ from others, so that bursts start everywhere in a window."""
    return COLUMNS + int((WIDTH - COLUMNS) * (burst * _GOLDEN % 1.0))


@nki.jit
def bursts(x: Any, kind: str) -> Any:
    """Bursts of matmuls, each behind a pause in which the Vector Engine copies, a copy behind the other."""
    weights, moving, scratch = load(x), sbuf(COLUMNS, x.dtype), (sbuf(WIDTH), sbuf(WIDTH))
    nisa.memset(dst=moving, value=0, engine=nisa.engine.vector)
    for tile in scratch:
        nisa.memset(dst=tile, value=0, engine=nisa.engine.vector)
    for burst in range(BURSTS):
        product = psum(COLUMNS)
        for n in range(MATMULS):
            nisa.nc_matmul(dst=product, stationary=weights, moving=moving, accumulate=n > 0)
        nisa.tensor_copy(dst=scratch[0][:, 0:COLUMNS], src=product, engine=nisa.engine.vector)
        for n in range(LINKS):
            columns = WIDTH // 2 if n < WHOLE_LINKS else varied_columns(burst)
            source, target = scratch[n % 2], scratch[1 - n % 2]
            nisa.tensor_copy(dst=target[:, 0:columns], src=source[:, 0:columns], engine=nisa.engine.vector)
        nisa.tensor_copy(dst=moving, src=scratch[1][:, 0:COLUMNS], engine=nisa.engine.vector)
    result = sbuf(1)
    nisa.tensor_copy(dst=result, src=moving[:, 0:1], engine=nisa.engine.vector)
    return hand_back(result)


def read_clock(instructions: Sequence[ProfiledInstruction]) -> Mapping[str, tuple[float, ...]]:
    """Length of a window in ns, and its share that grants full clock, as (lost, won).

    Raises:
        ValueError: no burst changes its clock.
    """
    starts = np.array(sorted(each.start_ns for each in instructions if each.is_matmul))
    apart = np.diff(starts)
    if not apart.size:
        raise ValueError("the profile has no matmuls")
    least = np.percentile(apart, 10)
    fast = float(np.median(apart[apart < 1.5 * least]))
    is_slow = apart > 1.5 * fast
    in_burst = apart < 3.0 * fast
    won = starts[1:-1][(is_slow[:-1] & ~is_slow[1:]) & (in_burst[:-1] & in_burst[1:])]
    if won.size < 3:
        raise ValueError("fewer than three bursts of matmuls change from half to full clock")
    window = _period(won)
    phases = won - np.round((won - won[0]) / window) * window
    first = float(np.percentile(phases, 3)) - 0.05 * fast  # the first matmul of a window starts in it
    return {"pe_time.window": (window,), "pe_time.window_use": _enough(starts, is_slow, fast, window, first)}


def _period(moments: np.ndarray[Any, Any]) -> float:
    """The period on which all of them lie: where their phases agree best."""
    strength = [abs(np.exp(2j * np.pi * moments / period).sum()) for period in PERIODS]
    return float(PERIODS[int(np.argmax(strength))])


def _enough(
    starts: np.ndarray[Any, Any], is_slow: np.ndarray[Any, Any], fast: float, window: float, first: float
) -> tuple[float, float]:
    """Work of windows, at full clock and over their length: the most that lost the next one, the least that won it."""
    number = np.floor((starts[:-1] - first) / window).astype(int)
    done = {int(w): float((number == w).sum()) * fast / window for w in np.unique(number)}
    clock = {int(w): bool(np.median(is_slow[number == w]) < 0.5) for w in np.unique(number)}
    pairs = [(done[w], clock[v]) for w, v in pairwise(sorted(done)) if v == w + 1]
    if len({is_full for _, is_full in pairs}) < 2:
        raise ValueError("no window lost the clock, or none won it")
    lost, won = _between(sorted(pairs))
    one = fast / window  # a matmul at the edge of a window may belong to either
    return lost - one, won + one


def _between(pairs: list[tuple[float, bool]]) -> tuple[float, float]:
    """The neighbours of the threshold that fewest contradict; `pairs`: work, and whether it won, by work."""
    won = np.array([is_full for _, is_full in pairs])
    contradict = np.concatenate([[0], np.cumsum(won)]) + (np.concatenate([[0], np.cumsum(~won[::-1])])[::-1])
    n = int(np.clip(np.argmin(contradict), 1, len(pairs) - 1))
    return pairs[n - 1][0], pairs[n][0]


PROBES: tuple[ProfileProbe, ...] = (
    ProfileProbe(
        "tensor clock", bursts, operands, {"kind": "bfloat16"}, ("pe_time.window", "pe_time.window_use"),
        "the period of the moments at which bursts win full clock, and how much the windows before had done",
        read_clock,
    ),
)  # fmt: skip
