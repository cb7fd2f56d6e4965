"""What layers lose: rows, how they compare with earlier ones, and a command that can be interrupted."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from losses.rows import KINDS, Row
from losses.tables import page_lines, summary
from moe_layers import main

from nkisim.machine import TARGETS, load_machine

ROW = Row(
    "trn2", "mixtral-8x7b-tp16", "bf16", 8, "shard_on_block", 128, "pairs",
    {"nominal": 100.0, "program": 80.0, "slow memory": 200.0}, 50.0,
    {"bytes moved": 20.0, "Tensor Engine": 40.0, "Vector Engine": 4.0},
)  # fmt: skip


def test_the_first_scenario_is_taken_and_all_of_them_bound_it() -> None:
    assert ROW.nominal_us == 100
    assert ROW.of_roofline == (0.5, 0.25, 0.625)


def test_losses_are_named_from_five_percent_on_the_largest_first() -> None:
    assert ROW.losses() == [("Tensor Engine", 0.4), ("bytes moved", 0.2)]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_work_can_be_made_free_on_every_target(target: str, kind: str) -> None:
    machine = load_machine(target)
    free = machine.scaled(KINDS[kind])
    assert free.quantities != machine.quantities


def test_a_summary_counts_what_became_slower() -> None:
    earlier = {ROW.key: replace(ROW, scenarios_us={"nominal": 200.0})}
    other = replace(ROW, tokens=9)
    earlier[other.key] = replace(other, scenarios_us={"nominal": 90.0})
    said = summary([ROW, other], earlier)
    assert "latencies are 0.50 to 1.11 of those there, geometric mean 0.75; 1 of them slower" in said
    assert "of earlier" in "\n".join(page_lines([ROW], earlier))
    assert "of earlier" not in "\n".join(page_lines([ROW], {}))


def test_rows_that_a_file_has_are_not_predicted_again(tmp_path) -> None:
    file, picture = tmp_path / "rows.json", tmp_path / "rows.png"
    arguments = ["--layers", ROW.layer, "--targets", "trn2", "--tokens", "8", "--json", str(file)]
    first = CliRunner().invoke(main, arguments)
    assert first.exit_code == 0, first.output
    report = json.loads(file.read_text())
    report["rows"][0]["scenarios_us"] = {"nominal": 1234.0}
    file.write_text(json.dumps(report))
    second = CliRunner().invoke(main, [*arguments, "--picture", str(picture), "--against", str(file)])
    assert "1,234" in second.output
    assert "computed in" not in second.output
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_rows_of_another_clock_are_not_compared(tmp_path) -> None:
    file = tmp_path / "rows.json"
    file.write_text(json.dumps({"schema_version": 1, "clock": "1.0", "rows": []}))
    refused = CliRunner().invoke(main, ["--against", str(file)])
    assert refused.exit_code == 2
    assert "has clock 1.0" in refused.output
