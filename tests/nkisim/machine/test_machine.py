"""Machine files: what they say, and what they must say about every number."""

import re

import pytest

from nkisim.machine import TARGETS, Machine, load_machine, target_from_environment
from nkisim.machine.loader import CONFIDENCES, _quantity

MACHINES = tuple(TARGETS)


@pytest.mark.parametrize(("alias", "name"), [("trn2", "trn2"), ("gen3", "trn2"), ("trn3", "trn3"), ("gen4", "trn3")])
def test_a_target_has_two_names(alias, name):
    assert load_machine(alias) is load_machine(alias)
    assert load_machine(alias).name == name


@pytest.mark.parametrize("target", ["trn1", "inf2", "gen2", "trn4", ""])
def test_an_unknown_target_is_refused_with_the_known_ones(target):
    with pytest.raises(ValueError, match=rf"unknown target {target!r}: nkisim models trn2 .* trn3"):
        load_machine(target)


@pytest.mark.parametrize("name", MACHINES)
def test_every_number_has_a_unit_a_source_and_a_confidence(name):
    quantities = load_machine(name).quantities
    assert quantities
    for key, quantity in quantities.items():
        assert re.fullmatch(r"[a-z0-9_]+\.[a-z0-9_]+", key)
        assert quantity.unit
        assert len(quantity.source) > 10
        assert quantity.confidence in CONFIDENCES


@pytest.mark.parametrize("name", MACHINES)
def test_both_machines_have_the_same_keys(name):
    assert load_machine(name).quantities.keys() == load_machine("trn2").quantities.keys()


def test_the_published_sizes():
    trn2, trn3 = load_machine("trn2"), load_machine("trn3")
    assert (trn2.generation, trn3.generation) == (3, 4)
    assert (trn2.partitions, trn2.psum_banks, trn2.psum_bank_bytes) == (128, 8, 2048)
    assert trn2["sbuf.partition_bytes"] * 128 == 28 * 2**20
    assert trn3["sbuf.partition_bytes"] * 128 == 32 * 2**20
    assert trn2.sbuf_usable_bytes == 212984
    assert (trn2["pe.moving_columns"], trn3["pe.moving_columns"]) == (512, 4096)


@pytest.mark.parametrize(
    "entry",
    [
        {"value": 1, "unit": "B", "source": "", "confidence": "documented"},
        {"value": 1, "unit": "B", "source": "a page", "confidence": "guessed"},
    ],
)
def test_a_number_without_source_or_confidence_is_refused(entry):
    with pytest.raises(ValueError, match=r"trn2\.toml sbuf\.x: needs a source"):
        _quantity("trn2.toml sbuf.x", entry)


def test_the_environment_names_the_target(monkeypatch):
    assert target_from_environment() == "trn3"
    monkeypatch.setenv("NEURON_PLATFORM_TARGET_OVERRIDE", "trn2")
    assert target_from_environment() == "trn2"


def test_an_unknown_quantity_is_an_error():
    machine: Machine = load_machine("trn2")
    with pytest.raises(KeyError):
        machine["sbuf.nothing"]
