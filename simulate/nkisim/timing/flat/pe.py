# SPDX-License-Identifier: Apache-2.0
"""The PE of a core: it multiplies with one set of weights while it loads the next, and starts at half clock.

Time is cut into windows, and in each the PE runs at full or at half clock: full exactly if it did enough work in the
window before. A pause of a window or more, and the start, therefore cost a window or two at half clock. Where the
windows lie is not known to a kernel; here the first one begins with the launch.
"""

from __future__ import annotations

from nkisim.timing.flat.records import CELLS, QUARTERS, Queue, Rates, WorkCost


def multiply(
    pe: Queue, cells: list[float], at: float, ready: float, work: WorkCost, rates: Rates
) -> tuple[float, float, float]:
    """The stream of a matmul, not before `at`, whose operands are there at `ready`: begin, end, and when it is done.

    The next one can be given to the PE when this one begins.

    Args:
        cells: when each quarter of its array is free, row by row, while it is split.
    """
    busy, loaded, begin = work.busy, ready + work.load, pe.all_free
    if work.rows and pe.is_split:
        begin = _free(cells, work)
    if at > begin:
        begin = at
    if loaded > begin:
        begin = loaded
    window = int(begin / rates.window)
    if window != pe.clock:
        pe.is_full = window == pe.clock + 1 and pe.worked >= rates.enough
        pe.clock, pe.worked = window, 0.0
    end = begin + (busy if pe.is_full else busy * rates.slowdown)
    pe.worked += busy * work.counted
    if work.rows:
        _occupy(pe, cells, end, work)
    else:
        pe.is_split, pe.all_free = 0, end
    done = begin + work.latency + (end - begin - busy)
    return begin, end, done if done > end else end


def _free(cells: list[float], work: WorkCost) -> float:
    """When all quarters are free that the work occupies."""
    latest = 0.0
    for row in range(work.row, work.row + work.rows):
        for column in range(work.column, work.column + work.columns):
            latest = max(latest, cells[row * QUARTERS + column])
    return latest


def _occupy(pe: Queue, cells: list[float], end: float, work: WorkCost) -> None:
    """The quarters of the work are busy until `end`."""
    if not pe.is_split:
        pe.is_split = 1
        for cell in range(CELLS):
            cells[cell] = pe.all_free
    for row in range(work.row, work.row + work.rows):
        for column in range(work.column, work.column + work.columns):
            cells[row * QUARTERS + column] = end
    if end > pe.all_free:
        pe.all_free = end
