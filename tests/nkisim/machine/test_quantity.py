"""Numbers between what they may be, and what would settle them."""

import pytest

from nkisim.machine import TARGETS, load_machine
from nkisim.machine.loader import _quantity
from nkisim.machine.probes import PROBES
from nkisim.machine.quantity import Quantity

ENTRY = {"value": 10, "unit": "ns", "source": "a page of it", "confidence": "derived"}
MACHINES = tuple(TARGETS)


@pytest.mark.parametrize("name", MACHINES)
def test_every_open_constant_has_a_probe_and_every_probe_an_open_constant(name):
    quantities = load_machine(name).quantities
    is_open = {key for key, quantity in quantities.items() if quantity.is_open}
    assert is_open == set(PROBES)
    assert all(len(probe) > 10 for probe in PROBES.values())


@pytest.mark.parametrize("name", MACHINES)
def test_every_value_lies_in_its_range(name):
    for key, quantity in load_machine(name).quantities.items():
        low, high = quantity.ends
        assert low <= quantity.value <= high, key
        assert not quantity.is_open or low < high, key


@pytest.mark.parametrize(
    "ends", [{"low": 5}, {"high": 20}, {"low": 11, "high": 20}, {"low": 5, "high": 9}, {"low": 20, "high": 5}]
)
def test_a_range_with_one_end_or_without_the_value_is_refused(ends):
    with pytest.raises(ValueError, match=r"trn2\.toml dma\.x: low and high go together, with the value between"):
        _quantity("trn2.toml dma.x", {**ENTRY, **ends})


@pytest.mark.parametrize("ends", [{}, {"low": 10, "high": 10}, {"low": 0, "high": 10}, {"low": 10, "high": 11.5}])
def test_a_range_that_holds_the_value_is_taken(ends):
    quantity = _quantity("trn2.toml dma.x", {**ENTRY, **ends})
    assert quantity.is_open == bool(ends)
    assert quantity.ends == (ends.get("low", 10), ends.get("high", 10))


@pytest.mark.parametrize(
    ("unit", "fast", "slow"),
    [
        ("ns", 5, 20), ("cycles per element", 5, 20), ("ns per descriptor", 5, 20), ("ratio", 5, 20),
        ("B/ns per engine", 20, 5), ("elements per cycle and lane", 20, 5), ("share of the rate", 20, 5), ("B", 20, 5),
        ("B of a row per descriptor", 20, 5), ("GHz", 20, 5), ("descriptors of a queue", 20, 5),
    ],
)  # fmt: skip
def test_a_duration_is_fast_at_its_low_end_and_a_rate_at_its_high_end(unit, fast, slow):
    quantity = Quantity(10, unit, "a page of it", "derived", 5, 20)
    assert (quantity.fast.value, quantity.slow.value) == (fast, slow)
    assert (quantity.fast.ends, quantity.fast.confidence) == ((5, 20), "derived")


def test_a_number_without_a_range_is_the_same_at_both_ends():
    quantity = Quantity(10, "ns", "a page of it", "documented")
    assert quantity.fast == quantity.slow == quantity
    assert quantity.at(None) is quantity


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("sections", [("sync",), ("dma", "hbm"), ()])
def test_a_corner_of_a_machine_is_the_ends_of_the_ranges_of_some_sections(name, sections):
    machine = load_machine(name)
    fastest, slowest = machine.fastest(sections), machine.slowest(sections)
    for key, quantity in machine.quantities.items():
        here = key.partition(".")[0] in sections
        ends = set(quantity.ends) if here else {quantity.value}
        assert {fastest.number(key), slowest.number(key)} == ends, key


def test_a_rate_is_high_and_a_duration_low_on_the_fastest_machine():
    machine = load_machine("trn2")
    fastest, slowest = machine.fastest(("dma",)), machine.slowest(("dma",))
    assert fastest.number("dma.rate") > machine.number("dma.rate") > slowest.number("dma.rate")
    assert fastest["dma.complete"] < machine["dma.complete"] < slowest["dma.complete"]


def test_one_value_may_be_another():
    machine = load_machine("trn2")
    changed = machine.with_value("sync.barrier", 1.0)
    assert changed.number("sync.barrier") == 1.0
    assert {k for k, q in changed.quantities.items() if q != machine.quantities[k]} == {"sync.barrier"}
