"""What the command line leaves open is chosen, and it says why."""

import csv
import json

import pytest
from click.testing import CliRunner, Result

from nkimoe.cli.main import main


def nkimoe(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_explain_why_lists_the_alternatives_best_first_and_plans_the_first():
    result = nkimoe("explain", "--model", "mixtral-8x7b", "--tp", "16", "--tokens", "4096", "--why")
    assert result.exit_code == 0
    title, head, best, *others = result.output.splitlines()
    assert title.startswith("alternatives, by the model of cost")
    assert head.split() == ["variant", "strategy", "block", "size", "estimate", "bound", "by"]
    assert "+0%" in best
    assert {line.split()[0] for line in others[:12]} >= {"shard_on_block", "shard_on_i", "shard_on_i_hybrid"}
    variant, strategy, size, *_ = best.split()
    assert f"request  {variant} on trn2" in result.output
    assert f"B={size} " in result.output
    assert strategy == "HI_LO"


def test_explain_why_says_what_is_wrong_with_choices_that_cannot_be():
    result = nkimoe("explain", "--variant", "shard_on_i_dropping", "--block-size", "128", "--why")
    assert "impossible: shard_on_i_dropping, blocks of 128: block_to_expert: has one block an expert" in result.output
    assert result.exit_code != 0


def test_ranks_without_columns_are_refused_before_anything_is_chosen():
    result = nkimoe("explain", "--model", "qwen3-30b-a3b", "--tp", "1000", "--why")
    assert result.exit_code == 2
    assert "--tp leaves every rank columns of I=768; got 1000" in result.output


def test_the_rows_of_a_sweep_decide_in_the_next_one(tmp_path):
    layer = ["--hidden", "128", "--intermediate", "64", "--experts", "4", "--top-k", "2", "--tp", "1", "--tokens", "64"]
    rows, again = tmp_path / "rows.csv", tmp_path / "rows.json"
    fixed = ["--variant", "shard_on_block", "--block-size", "96", "--strategy", "PING_PONG"]
    common = ["sweep", *layer, "--jobs", "1", "--no-cache"]
    assert nkimoe(*common, *fixed, "--csv", str(rows)).exit_code == 0
    assert nkimoe(*common, "--tuned", str(rows), "--json", str(again)).exit_code == 0
    (row,) = json.loads(again.read_text())["rows"]
    assert (row["variant"], row["block_size"], row["strategy"]) == ("shard_on_block", 96, "PING_PONG")
    (written,) = csv.DictReader(rows.read_text().splitlines())
    assert float(written["latency_us"]) == pytest.approx(row["latency_us"])


def test_a_table_that_is_none_is_refused(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n")
    result = nkimoe("explain", "--tuned", str(path))
    assert result.exit_code == 2
    assert "Write it by nkimoe sweep --csv" in result.output
