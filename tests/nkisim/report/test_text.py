"""What a terminal shows of a prediction."""

from types import SimpleNamespace

import pytest

from nkisim.machine.probes import PROBES
from nkisim.report.text import describe, describe_latency, describe_orders, describe_sensitivity
from nkisim.timing import Forecast, Leverage

BOUNDS = Forecast({"program": 2_400_000.0, "compiler": 736_000.0}, {16: 800e3, 32: 736e3, 64: 700e3}, {}, 1.1)


@pytest.mark.parametrize(
    ("us", "interval", "text"),
    [
        (736.4, (610.2, 1240.0), "736 us (610 to 1,240)"),
        (100.0, (90.0, 110.0), "100 us (90 to 110)"),
        (12.34, (9.96, 20.0), "12.3 us (10.0 to 20.0)"),
        (0.0, (0.0, 0.0), "0.0 us (0.0 to 0.0)"),
    ],
)
def test_a_latency_comes_with_its_interval(us, interval, text):
    assert describe_latency(SimpleNamespace(latency_us=us, interval_us=interval)) == text


def test_orders_are_told_with_how_far_a_compiler_looks():
    assert describe_orders(SimpleNamespace(forecast=BOUNDS)) == (
        "as written 2,400 us, as a compiler orders it, looking 16 ahead 800, 32 ahead 736, 64 ahead 700 us"
    )


def test_leverage_is_a_table_with_probes_where_there_are_any():
    found = [Leverage("dma.rate", 1000.0, 3500.0), Leverage("order: compiler or program", 1000.0, 2000.0)]
    header, first, second = describe_sensitivity(SimpleNamespace(sensitivity=found)).splitlines()
    assert header.split() == ["leverage", "fast", "end", "slow", "end", "constant:", "what", "would", "settle", "it"]
    assert first.split(maxsplit=6)[:6] == ["2.5", "us", "1", "us", "3.5", "us"]
    assert first.endswith(f"dma.rate: {PROBES['dma.rate']}")
    assert second.endswith("  order: compiler or program")


def test_no_more_rows_than_wanted(one_core):
    assert len(one_core.sensitivity) > 3
    assert len(describe_sensitivity(one_core, most=3).splitlines()) == 4


def test_a_description_begins_with_latency_interval_and_orders(one_core):
    first, second, *_ = describe(one_core).splitlines()
    assert first.startswith(f"{describe_latency(one_core)} predicted on 1 trn2 core, bound by: ")
    assert first.endswith("Nothing here is measured.")
    assert second == describe_orders(one_core)
