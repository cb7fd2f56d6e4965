"""What got slower between two runs, from the runs and from their files."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from support import timed_kernels

from nkisim import Simulator
from nkisim.__main__ import main
from nkisim.errors import ArgumentError
from nkisim.report.difference import Difference

ROWS = np.ones((128, 512), np.float32)
FEW, MANY = ("--arg", "times=2"), ("--arg", "times=8")


def copies(times):
    return Simulator("trn2").run(timed_kernels.copy_hbm, ROWS, times)


def test_more_work_is_slower_on_its_engine_stage_and_lines():
    found = copies(2).diff(copies(8))
    assert found.ratio > 1.5
    assert found.latency.us == pytest.approx(sum(each.us for each in found.resources()))
    assert [each.name for each in found.engines() if each.us > 0] == ["dma"]
    (stage,) = found.stages()
    assert (stage.name, stage.us) == ("timed_kernels.py:copy_hbm", pytest.approx(found.latency.us))
    assert "nisa.dma_copy(dst=out, src=tile)" in found.lines()[0].name
    assert sum(each.us for each in found.lines()) == pytest.approx(found.latency.us)


def test_less_work_is_faster_and_the_same_is_the_same():
    assert "% faster" in str(copies(8).diff(copies(2)))
    same = copies(2).diff(copies(2))
    assert str(same).endswith("the same")
    assert (same.ratio, same.is_certain) == (1, False)


def test_intervals_that_overlap_are_said_to():
    found = Difference(
        {**(few := copies(8).profile.to_json()), "interval_us": [1, 50]},
        {**few, "latency_us": few["latency_us"] + 1, "interval_us": [40, 90]},
    )
    assert "the intervals of the two predictions overlap" in str(found)


def test_a_line_that_moved_is_the_same_line():
    few, many = copies(2).profile.to_json(), copies(2).profile.to_json()
    for line in many["lines"]:
        line["place"] += "0"
    assert all(each.us == 0 for each in Difference(few, many).lines())


def test_a_run_without_the_time_model_has_no_difference():
    with pytest.raises(ArgumentError, match="needs the time model"):
        Simulator(timing=False).run(timed_kernels.copy_hbm, ROWS, 2).diff(copies(2))


@pytest.fixture
def files(tmp_path):
    made = []
    for name, options in (("a.json", FEW), ("b.json", MANY)):
        kernel = f"{timed_kernels.__file__}:copy_hbm"
        inputs = ("--input", "x=128x512", "--target", "trn2", "--json", str(tmp_path / name))
        assert CliRunner().invoke(main, ["run", kernel, *inputs, *options]).exit_code == 0
        made.append(str(tmp_path / name))
    return made


@pytest.mark.parametrize(("options", "status"), [((), 0), (("--at-most", "5"), 1), (("--at-most", "900"), 0)])
def test_the_command_compares_files_and_fails_where_it_is_told_to(files, options, status):
    done = CliRunner().invoke(main, ["diff", *files, *options])
    assert done.exit_code == status, done.output
    for words in ("% slower", "critical path by resource", "engines at work", "timed_kernels.py:copy_hbm"):
        assert words in done.output


@pytest.mark.parametrize("text", ["not json", "[]", "{}", json.dumps({"predicted": {"latency_us": 1}})])
def test_a_file_that_is_no_result_is_refused(files, tmp_path, text):
    (tmp_path / "c.json").write_text(text)
    done = CliRunner().invoke(main, ["diff", files[0], str(tmp_path / "c.json")])
    assert done.exit_code == 2
    assert "c.json" in done.output
