"""The table of device measurements: complete, and each check finds in a timeline what it reads."""

import math

import pytest
from calibrate import measurements
from calibrate.cases import UNITS
from calibrate.clock import predict
from calibrate.kernels import KERNELS
from calibrate.pricing import price
from calibrate.readings import read
from calibrate.summary import measured
from calibrate.tape import Tape
from calibrate.tracing import trace

from nkisim.machine import load_machine

TABLE = measurements.table()
WORKS = measurements.works()
QUICK = [work for work in WORKS if "one engine" in work.case.name or "start on" in work.case.name]


def test_every_measurement_is_reproduced_compared_or_refused_with_a_reason():
    for entry in TABLE:
        assert [bool(entry.kernel), bool(entry.of), bool(entry.refused)].count(True) == 1, entry.what


def test_every_measurement_names_a_source_of_the_list():
    assert {entry.source for entry in TABLE} <= set(measurements.sources())


def test_every_measurement_that_is_checked_has_a_value_unless_another_one_needs_it():
    parts = {name for entry in TABLE for name in entry.of}
    unknown = [entry.what for entry in TABLE if not entry.refused and math.isnan(entry.value[0])]
    assert set(unknown) <= parts


def test_no_two_measurements_have_one_name():
    names = [name for entry in TABLE for name in entry.figures()]
    assert len(names) == len(set(names))


def test_comparisons_are_of_measurements_that_a_kernel_reproduces():
    names = {work.case.name for work in WORKS}
    assert {name for entry in TABLE for name in entry.of} <= names


def readable(work):
    tape = Tape()
    work.run(tape)
    timeline = predict(tape, load_machine("trn2")).timeline
    return [read(figure.reading, timeline) / UNITS[figure.unit] for figure in work.case.figures]


@pytest.mark.parametrize("work", QUICK, ids=lambda work: work.case.name)
def test_a_check_reads_a_quantity_off_its_own_kernel(work):
    assert all(value >= 0 for value in readable(work))


@pytest.mark.slow
@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.case.name)
def test_every_check_reads_a_quantity_off_its_own_kernel(work):
    assert all(value >= 0 for value in readable(work))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_single_measurement_on_trn2_lies_inside_its_interval(tmp_path):
    for line in trace(tmp_path, [work for work in WORKS if work.case.family.endswith("trn2")]):
        print(line)
    rows = measured(price(tmp_path, 1))
    assert len(rows) > 130
    ours = [row for row in rows if row.case.family.endswith("trn2") and row.interval is not None]
    assert [row.case.name for row in ours if not row.holds] == []


def test_every_kernel_is_used():
    QUICK[0].run(Tape())  # kernels are known once one of them has run
    assert {entry.kernel for entry in TABLE if entry.kernel} == set(KERNELS)
