"""The command line: keys and names that people script, refusals, files never half written."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from nkimoe.cli import json_report
from nkimoe.cli.main import main
from nkimoe.errors import RequestError
from nkimoe.models import MODELS, Model

TINY = Model(H=256, I=192, E=8, K=2, source="made up")
KEYS = {
    "schema_version", "toolchain", "target", "lnc", "variant", "problem", "weights", "correct", "predicted", "findings",
    "wall_s",
}  # fmt: skip
PREDICTED = {
    "latency_us", "roofline_us", "fraction_of_roofline", "bound_by", "tflops", "mfu", "hbm_bytes", "engines",
    "sbuf_peak_bytes_per_partition", "psum_peak_banks", "provenance",
}  # fmt: skip


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "olmoe-1b-7b", TINY)


def nkimoe(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def run_tiny(*arguments: str) -> Result:
    return nkimoe("run", "--model", "olmoe-1b-7b", "--tp", "2", "--tokens", "100", *arguments)


def test_run_reports_shape_blocks_error_and_counts() -> None:
    result = run_tiny()
    assert result.exit_code == 0, result.output
    for word in ("H=256 I=96 E=8 top-2", "blocks", "passed", "instructions", "HBM", "SBUF peak", "not predicted yet"):
        assert word in " ".join(result.output.split()), word


def test_run_writes_the_documented_json_keys(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    assert run_tiny("--json", str(target)).exit_code == 0
    document = json.loads(target.read_text())
    assert set(document) == KEYS
    assert set(document["predicted"]) == PREDICTED
    assert document["problem"] == {"T": 100, "H": 256, "E": 8, "I": 96, "K": 2, "B": 128, "N": 9}
    assert document["correct"]["passed"] is True
    assert document["correct"]["rel_l2"] <= document["correct"]["tolerance"]
    assert document["predicted"]["latency_us"] is None
    assert document["predicted"]["hbm_bytes"]["read"] > 0
    assert list(tmp_path.iterdir()) == [target]


def test_two_runs_give_the_same_numbers(tmp_path: Path) -> None:
    documents = []
    for name in ("a.json", "b.json"):
        assert run_tiny("--json", str(tmp_path / name)).exit_code == 0
        documents.append(json.loads((tmp_path / name).read_text()))
        del documents[-1]["wall_s"]
    assert documents[0] == documents[1]


def test_gpt_oss_runs_with_biases_clamps_and_padded_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    small = Model(H=200, I=90, E=4, K=2, source="made up", biases=True, limit=7.0, up_shift=1.0)
    monkeypatch.setitem(MODELS, "gpt-oss-20b", small)
    result = nkimoe("run", "--model", "gpt-oss-20b", "--tp", "1", "--tokens", "60", "--lnc", "1")
    assert result.exit_code == 0, result.output
    assert "H=256 I=96" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("--weights", "mxfp4"),
        ("--weights", "fp8-row"),
        ("--variant", "shard_on_i_mx"),
        ("--checkpoint", "somewhere"),
        ("--layer", "3"),
        ("--trace", "t.json"),
        ("--roofline", "r.png"),
        ("--no-numerics",),
        ("--tokens", "0"),
        ("--json", "missing/folder/out.json"),
        ("--model", "no-such-model"),
        ("--target", "trn1"),
    ],
    ids=lambda a: " ".join(a),
)
def test_run_refuses_what_it_cannot_do_with_status_2_and_says_why(arguments: tuple[str, ...]) -> None:
    result = run_tiny(*arguments)
    assert result.exit_code == 2
    assert "Error: " in result.output
    assert arguments[0].lstrip("-").replace("-", "") in result.output.replace("-", "").replace("_", "")


def test_run_takes_its_own_text(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the same word " * 50)
    result = run_tiny("--text", str(text))
    assert result.exit_code == 0
    assert "3 distinct" in result.output


def test_run_refuses_a_text_without_words(tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("  \n")
    result = run_tiny("--text", str(empty))
    assert result.exit_code == 2
    assert "no words" in result.output


def test_a_wrong_result_ends_in_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    from nkimoe.cli import experiment

    right = experiment.moe_cte_reference
    monkeypatch.setattr(experiment, "moe_cte_reference", lambda **a: right(**a) * 1.1)
    result = run_tiny()
    assert result.exit_code == 1
    assert "FAILED" in result.output


def test_a_failed_write_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(json_report.os, "replace", full_disk)
    with pytest.raises(OSError, match="disk full"):
        json_report.write_json(tmp_path / "out.json", {})
    assert list(tmp_path.iterdir()) == []


def test_variants_lists_all_seven_as_a_table_and_as_json() -> None:
    rows = json.loads(nkimoe("variants", "--json").output)
    assert [row["variant"] for row in rows][:2] == ["shard_on_block", "shard_on_i"]
    assert len(rows) == 7
    table = nkimoe("variants").output
    assert all(row["variant"] in table for row in rows)


@pytest.mark.parametrize("variant", ["shard_on_i", "shard_on_i_hybrid"])
def test_the_variants_that_share_blocks_run_and_explain(variant: str) -> None:
    assert run_tiny("--variant", variant).exit_code == 0
    output = nkimoe("explain", "--variant", variant, "--tokens", "640").output
    assert "every block, half of I a core" in output
    assert ("in a device loop" in output) is (variant == "shard_on_i_hybrid")


def test_the_capacity_layout_is_refused_because_routing_drops_no_token() -> None:
    result = run_tiny("--variant", "shard_on_i_dropping")
    assert result.exit_code == 2
    assert "one block an expert" in result.output


def test_the_matrix_is_the_page_in_the_documentation() -> None:
    printed = nkimoe("variants", "--matrix").output.strip()
    page = (Path(__file__).parents[3] / "docs" / "variants.md").read_text(encoding="utf-8")
    assert printed in page, "run `nkimoe variants --matrix` and replace the table of docs/variants.md"
    assert all(name in printed for name in ("shard_on_block", "shard_on_i_dropping", "conditions", "HI_LO"))


def test_explain_prints_the_plan_that_run_would_use() -> None:
    output = nkimoe("explain", "--model", "qwen3-30b-a3b", "--tp", "4", "--tokens", "640").output
    assert "T=640 H=2048 I=192 E=128 B=128 N=167" in output
    assert "weights resident" in output


def test_request_errors_carry_argument_rule_and_value() -> None:
    error = RequestError("block_size", "is a multiple of 128", "100", "Use 128.")
    assert str(error) == "block_size: is a multiple of 128; got 100. Use 128."
