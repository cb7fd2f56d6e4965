"""Machine files are written and read; the one in use stands for the one that ships."""

from __future__ import annotations

from pathlib import Path

import pytest

from nkisim.machine import (
    TARGETS,
    load_machine,
    machine_in_use,
    machine_text,
    read_machine,
    target_from_environment,
)


@pytest.mark.parametrize("target", TARGETS)
def test_a_machine_survives_its_file(target: str, tmp_path: Path) -> None:
    machine = load_machine(target).with_value("dma.complete", 1234.5)
    (tmp_path / "m.toml").write_text(machine_text(machine, "two\nlines"), "utf-8")
    assert read_machine(tmp_path / "m.toml") == machine


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name = ", "no machine file"),
        ("generation = 3\n", "no machine file: 'name'"),
        ('name = "trn1"\ngeneration = 2\n', "describes 'trn1'; there are trn2, trn3"),
        ('name = "trn2"\ngeneration = 3\n', r"lacks .*dma\.complete"),
        ('name = "trn2"\ngeneration = 3\n[dma]\ncomplete = { value = 1, unit = "ns" }\n', "no machine file"),
    ],
)
def test_a_file_that_is_none_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(text, "utf-8")
    with pytest.raises(ValueError, match=problem):
        read_machine(tmp_path / "m.toml")


def test_the_machine_in_use_is_loaded_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEURON_PLATFORM_TARGET_OVERRIDE", raising=False)
    mine = load_machine("trn2").with_value("dma.complete", 1.0)
    with machine_in_use(mine):
        assert load_machine("gen3") is mine
        assert target_from_environment() == "trn2"
        with pytest.raises(ValueError, match="the machine file in use describes trn2"):
            load_machine("trn3")
    assert load_machine("trn2").number("dma.complete") != 1.0
    assert target_from_environment() == "trn3"
