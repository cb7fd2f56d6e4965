"""How rows are judged: launches, intervals, quartiles, and what counts."""

import pytest
from calibrate import launch_fit, summary
from calibrate.cases import Case, Figure, exactly
from calibrate.launches import NONE, Launch, class_of
from calibrate.rows import Row
from calibrate.split import FIT


def row(published=100.0, body=90.0, launch=(5.0, 10.0, 20.0), body_range=None, reading="latency", doubt="", name="n"):
    case = Case("k", "f", name, "nki-library, t", (exactly(reading, published, "us", doubt),))
    return Row(case, case.figures[0], "LNC1 mlp_cte", Launch(*launch), body, body_range)


def test_a_latency_is_body_and_launch():
    assert row().predicted == 100.0
    assert row(reading="body").predicted == 90.0


def test_an_interval_takes_the_range_of_the_launch_into_account():
    assert row(body_range=(80.0, 95.0)).interval == (85.0, 115.0)
    assert row(body_range=(80.0, 95.0)).holds
    assert not row(published=120.0, body_range=(80.0, 95.0)).holds


def test_a_prediction_inside_a_measured_range_has_ratio_one():
    case = Case("", "measured", "n", "s", (Figure("interval x", 100.0, 120.0, "ns"),))
    inside, above = (Row(case, case.figures[0], NONE, Launch(0, 0, 0), body) for body in (110.0, 240.0))
    assert (inside.ratio, above.ratio) == (1.0, 2.0)


def test_a_doubtful_figure_does_not_count():
    assert summary.judged([row(doubt="rounded"), row()]) == [row()]


def test_quality_says_error_and_reach():
    q = summary.quality([row(body=90.0), row(body=140.0), row(body=190.0)])
    assert (q.rows, q.ratio, q.largest, q.numbers) == (3, 1.5, 2.0, 1)
    assert q.error == pytest.approx(0.5)
    assert q.near == pytest.approx(2 / 3)


def test_each_number_counts_once_where_that_is_asked():
    assert summary.once([row(name="first"), row(name="second")]) == [row(name="first")]


def test_a_launch_is_fitted_to_short_rows_of_the_fit_half_only():
    rows = [row(published=us, body=us - 7) for us in range(20, 400)]
    rows = [r if r.case.half == FIT and r.figure.value < 150 else row(r.figure.value, 0.0) for r in rows]
    assert launch_fit.fitted(rows) == {"LNC1 mlp_cte": Launch(7.0, 7.0, 7.0)}


def test_a_launch_is_of_a_class_by_cores_and_by_the_tests_of_a_kernel():
    assert class_of("LNC2", "mlp_tkg") == "LNC2 mlp_tkg"
    assert class_of("benchmark", "gelu") == "benchmark"
    assert class_of("", "gelu") == NONE
