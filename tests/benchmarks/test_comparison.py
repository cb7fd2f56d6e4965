"""How two kernels are compared: in the same order, at the same corner."""

import json

import nki.language as nl
import pytest
from click.testing import CliRunner
from compare_nkilib import SCHEMA_VERSION, main
from comparison.measure import Cell, Prepared, fastest, predict, ratio
from comparison.page import page_lines, summary
from marked_page import BEGIN, END, renewed
from nki import isa as nisa


def kernel(steps, block_size):
    tile = nl.zeros((128, 512), nl.float32)
    for _ in range(steps):
        nisa.activation(tile, nl.exp, tile)


def cell(**us):
    return Cell(latency_us=us["nominal"], bound_by="dma", scenarios_us=us)


def row(ours, theirs, name="layer", variant="shard_on_block"):
    found = ratio(ours, theirs)
    return {
        "shape": {"name": name, "T": 640}, "variant": variant, "implementation": "shard_on_block", "target": "trn2",
        "weights": "bf16", "nkimoe": ours.to_json(), "nkilib": theirs.to_json(),
        "ratio": found and found._asdict(), "roofline_us": 5.0,
    }  # fmt: skip


def test_a_ratio_never_mixes_scenarios():
    found = ratio(cell(nominal=10, slow=20), cell(nominal=20, slow=30))
    assert (found.nominal, found.least, found.most) == (2.0, 1.5, 2.0)


def test_there_is_no_ratio_to_a_refusal():
    assert ratio(cell(nominal=10), Cell(refused="NKI103")) is None


def test_the_fastest_of_several_is_predicted_in_every_scenario():
    best = fastest([predict(kernel, {"steps": steps, "block_size": 128}, "trn2") for steps in (9, 3)], "trn2")
    assert best.latency_us == next(iter(best.scenarios_us.values()))
    assert {"program", "fast memory", "slow engines"} < best.scenarios_us.keys()


def test_refusals_only_give_a_refusal():
    refusals = [Prepared(Cell(refused="a")), Prepared(Cell(refused="b"))]
    assert fastest(refusals, "trn2").refused == "a"


def test_the_summary_counts_what_a_corner_turns_around():
    even = row(cell(nominal=10, slow=10), cell(nominal=12, slow=9))
    sure = row(cell(nominal=10, slow=10), cell(nominal=20, slow=30), "another layer")
    assert "1 of them turned around" in summary([even, sure])
    assert "1.2 to 2.0 times faster than" in summary([even, sure])
    assert "over both orders and all corners 0.9 to 3.0" in summary([even, sure])


def test_the_summary_holds_a_layer_beside_the_best_of_several_kernels_in_each_scenario():
    ours = cell(nominal=10, slow=10)
    older = row(ours, cell(nominal=30, slow=20))
    newer = row(ours, cell(nominal=20, slow=25), variant="shard_on_block_v2")
    refused = row(ours, Cell(refused="NKI201"), variant="shard_on_block_v2")
    both = "On the 1 pairs of layer and variant that both run, nkimoe is predicted 2.0 to 2.0 times faster"
    assert summary([older, newer]).startswith(both)
    assert "all corners 2.0 to 2.0;" in summary([older, newer])
    assert summary([older, refused]) == summary([older]) != summary([older, newer])


def test_a_page_shows_refusals_with_their_rule():
    refused = row(cell(nominal=10), Cell(refused="NKI103: operand0 is fp32; got bf16"))
    lines = page_lines({"rows": [refused, row(cell(nominal=10), cell(nominal=11))]})
    assert any("refuses (1)" in line for line in lines)
    assert "1. NKI103: operand0 is fp32" in lines


def test_only_the_part_between_the_marks_is_renewed():
    assert renewed(f"a\n{BEGIN}old\n{END}b\n", ["new"]) == f"a\n{BEGIN}new\n{END}b\n"
    with pytest.raises(ValueError, match="has a line"):
        renewed("no marks", ["new"])


def test_rows_that_were_kept_renew_a_page_without_a_checkout(tmp_path):
    kept, page = tmp_path / "table.json", tmp_path / "page.md"
    rows = [{**row(cell(nominal=10, slow=12), cell(nominal=20, slow=30)), "numbers": None}]
    kept.write_text(json.dumps({"schema_version": SCHEMA_VERSION, "rows": rows}))
    page.write_text(BEGIN + END)
    assert CliRunner().invoke(main, ["--from", str(kept), "--page", str(page)]).exit_code == 0
    assert "2.00 (2.00 to 2.50)" in page.read_text()
    kept.write_text(json.dumps({"schema_version": 2, "rows": rows}))
    assert "schema_version 2" in CliRunner().invoke(main, ["--from", str(kept)]).output
