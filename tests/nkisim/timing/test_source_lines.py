"""Kernel lines by what they cost."""

import pytest
from support.hand_made import HandMade

from nkisim.timing.critical_path import critical_path
from nkisim.timing.source_lines import source_lines, spent_by_chain


def test_lines_come_in_the_order_of_their_part_of_the_critical_path():
    made = HandMade()
    first = made.engine("vector", (0, 0, 100, 100), line=3)
    second = made.engine("vector", (100, 100, 150, 150), line=5, because=first, reason="queue")
    made.engine("vector", (150, 150, 200, 200), line=3, because=second, reason="queue")
    made.engine("scalar", (0, 0, 190, 190), line=9)
    lines = source_lines(made.timeline, spent_by_chain(made.timeline, critical_path(made.timeline)))
    assert [(line.location.line, line.critical_ns, line.busy_ns, line.instructions) for line in lines] == [
        (3, 150, 150, 2), (5, 50, 50, 1), (9, 0, 190, 1),
    ]  # fmt: skip
    assert sum(line.critical_ns for line in lines) == pytest.approx(made.timeline.latency_ns)


def test_a_line_names_its_instructions_the_most_frequent_first():
    made = HandMade()
    for engine in ("vector", "scalar", "scalar"):
        made.engine(engine, (0, 0, 10, 10), line=7)
    (line,) = source_lines(made.timeline, spent_by_chain(made.timeline, critical_path(made.timeline)))
    assert (line.opcodes, line.instructions) == (("scalar_instruction", "vector_instruction"), 3)
