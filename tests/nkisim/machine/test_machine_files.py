"""Machine files of one's own: written, read back, and used instead of those that ship."""

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
def test_a_machine_that_is_written_is_read_back(target: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(machine_text(load_machine(target), "two\nlines"), "utf-8")
    assert path.read_text("utf-8").startswith("# two\n# lines\n")
    assert read_machine(path) == load_machine(target)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("rate = { value = 24.5", "speed = { value = 24.5", r"lacks dma\.rate"),
        ('name = "trn2"', 'name = "trn9"', "describes 'trn9'; there are trn2, trn3"),
        ('name = "trn2"', 'title = "trn2"', "no machine file: 'name'"),
        ("generation = 3", "generation =", "no machine file"),
        ('unit = "GHz"', 'units = "GHz"', "no machine file"),
    ],
)
def test_a_file_that_is_no_whole_machine_is_refused(old: str, new: str, said: str, tmp_path: Path) -> None:
    path, text = tmp_path / "mine.toml", machine_text(load_machine("trn2"), "")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    with pytest.raises(ValueError, match=said):
        read_machine(path)


def test_a_machine_in_use_is_the_one_of_its_name_and_the_only_one() -> None:
    shipped = load_machine("trn2")
    mine = shipped.with_value("dma.rate", 20.0)
    with machine_in_use(mine):
        assert load_machine("trn2") is load_machine("gen3") is mine
        assert target_from_environment() == "trn2"
        with pytest.raises(ValueError, match="target 'trn3': the machine file in use describes trn2"):
            load_machine("trn3")
    assert load_machine("trn2") is shipped


def test_machines_have_the_same_digest_if_their_numbers_are_the_same(tmp_path: Path) -> None:
    shipped, path = load_machine("trn2"), tmp_path / "mine.toml"
    path.write_text(machine_text(shipped, "again"), "utf-8")
    assert read_machine(path).digest == shipped.digest
    assert len({load_machine("trn3").digest, shipped.digest, shipped.with_value("dma.rate", 20.0).digest}) == 3
