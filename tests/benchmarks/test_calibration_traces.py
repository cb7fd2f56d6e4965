"""A trace tells a clock what the launch itself would have told it, and says when it is out of date."""

import dataclasses
from pathlib import Path

import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np
import pytest
from calibrate import traces
from calibrate.cases import Case, Work, exactly
from calibrate.clock import predict
from calibrate.launches import NONE
from calibrate.pricing import rows_of
from calibrate.tape import launch

from nkisim.machine import load_machine
from nkisim.timing import Timer, timeline

TRN2 = load_machine("trn2")


@nki.jit
def looped_sum(x):
    total = nl.zeros((128, 64), dtype=nl.float32)
    tile = nl.ndarray((128, 64), dtype=nl.float32, buffer=nl.sbuf)

    def body(i):
        nisa.dma_copy(dst=tile, src=x.select(0, i))
        nisa.tensor_tensor(dst=total, data1=total, data2=tile, op=nl.add)

    nl.fori_loop(0, 4, body)
    out = nl.ndarray((128, 64), dtype=nl.float32, buffer=nl.shared_hbm)
    nisa.dma_copy(dst=out, src=total)
    return out


def run(observer):
    launch(observer, looped_sum, np.zeros((4, 128, 64), np.float32))
    return NONE


@pytest.fixture
def work(tmp_path: Path) -> Work:
    source = tmp_path / "kernel.py"
    source.write_text("1")
    case = Case("looped_sum", "family", "four iterations", "nowhere", (exactly("latency", 10.0, "us"),))
    return Work(case, run, source)


def test_a_tape_that_was_stored_gives_the_latency_of_the_launch(work: Work, tmp_path: Path) -> None:
    timer = Timer(TRN2)
    run(timer)
    traces.record(tmp_path, work)
    (path,) = traces.files(tmp_path)
    program = traces.load(path).program
    assert program is not None
    assert predict(program, TRN2).timeline.latency_ns == timeline(timer.program, TRN2).latency_ns


def test_pricing_a_trace_gives_a_row_for_each_figure(work: Work, tmp_path: Path) -> None:
    traces.record(tmp_path, work)
    (row,) = rows_of(traces.path_of(tmp_path, work.case))
    assert row.case == work.case
    assert row.predicted is not None


def test_a_case_that_failed_has_a_row_with_the_reason(work: Work, tmp_path: Path) -> None:
    traces.save(tmp_path, traces.Trace(work.case, "version", reason="too slow"))
    (row,) = rows_of(traces.path_of(tmp_path, work.case))
    assert (row.predicted, row.error) == (None, "too slow")


def test_a_trace_is_made_again_when_its_kernel_changes(work: Work, tmp_path: Path) -> None:
    assert not traces.is_fresh(tmp_path, work)
    traces.record(tmp_path, work)
    assert traces.is_fresh(tmp_path, work)
    other = tmp_path / "changed.py"
    other.write_text("2")
    assert not traces.is_fresh(tmp_path, Work(work.case, run, other))


def test_a_file_that_is_no_trace_says_so_in_its_row(tmp_path: Path) -> None:
    (tmp_path / "old.trace").write_bytes(b"something")
    (row,) = rows_of(tmp_path / "old.trace")
    assert row.error.startswith("trace again")


def test_a_case_that_has_another_family_by_now_leaves_no_second_row(work: Work, tmp_path: Path) -> None:
    folder = tmp_path / "traces"
    today = dataclasses.replace(work.case, family="family, long")
    for case in (work.case, today):
        traces.save(folder, traces.Trace(case, "version", reason="too slow"))
    assert traces.remove_others(folder, [today]) == [traces.path_of(folder, work.case)]
    assert list(traces.files(folder)) == [traces.path_of(folder, today)]
