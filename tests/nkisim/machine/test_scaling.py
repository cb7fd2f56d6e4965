"""Machines with constants multiplied."""

import pytest
from support.timed_kernels import many_matmuls

from nkisim import Simulator
from nkisim.machine import load_machine
from nkisim.machine.scaling import SHORT_NAMES, scalable


@pytest.fixture
def machine():
    return load_machine("trn2")


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_a_short_name_multiplies_its_quantities_and_nothing_else(machine, name):
    changed = machine.scaled({name: 1.5})
    for key, quantity in machine.quantities.items():
        factor = 1.5 if key in SHORT_NAMES[name] else 1.0
        assert changed.number(key) == quantity.value * factor, key
        assert changed.quantities[key].confidence == quantity.confidence


def test_a_full_name_works_like_a_short_one(machine):
    assert machine.scaled({"clock.pe": 1.25}).number("clock.pe") == machine.scaled({"pe_clock": 1.25}).number(
        "clock.pe"
    )


def test_the_machine_itself_does_not_change(machine):
    before = dict(machine.quantities)
    machine.scaled({"hbm": 2.0, "dma.engines": 2})
    assert machine.quantities == before
    assert machine is load_machine("trn2")


def test_factors_of_the_same_quantity_multiply(machine):
    assert machine.scaled({"hbm": 2.0, "hbm.stack_rate": 3.0}).number("hbm.stack_rate") == 6 * machine.number(
        "hbm.stack_rate"
    )


@pytest.mark.parametrize(
    ("factors", "said"),
    [
        ({"hbn": 1.2}, "hbn: no constant of the time model; there are hbm, dma, dma_latency"),
        ({"sbuf.partition_bytes": 2}, "sbuf.partition_bytes: no constant of the time model"),
        ({"psum.banks": 2}, "psum.banks: no constant"),
        ({"order.unexplained": 2}, "order.unexplained: no constant"),
        ({"order.look_ahead": 2}, "order.look_ahead: no constant"),
        ({"hbm": 0.0}, "hbm=0.0: a factor is a positive number"),
        ({"hbm": -1.0}, "positive"),
        ({"hbm": float("nan")}, "positive"),
        ({"hbm": float("inf")}, "positive"),
        ({"dma.engines": 1.2}, "dma.engines is a whole number, 16 now, not 19.2"),
    ],
)
def test_what_cannot_be_scaled_is_refused_by_name(machine, factors, said):
    with pytest.raises(ValueError, match=said.replace(".", r"\.")):
        machine.scaled(factors)


@pytest.mark.parametrize("target", ["trn2", "trn3"])
def test_every_name_that_is_listed_can_be_scaled(target):
    machine = load_machine(target)
    for name in scalable(machine.quantities):
        assert machine.scaled({name: 2.0}) != machine


def test_a_faster_clock_makes_a_kernel_that_it_binds_faster_by_nearly_as_much():
    profile = Simulator("trn2").run(many_matmuls).profile
    faster = profile.what_if({"pe_clock": 2.0})
    assert 0.5 < faster.latency_us / profile.latency_us < 0.6
    assert profile.what_if({"hbm": 2.0}).latency_us == profile.latency_us
