"""docs/performance.md: every table stands under the line that finds its rows, and says what they say."""

import json
import re
import shlex
from itertools import groupby
from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("joblib")

import performance
from marked_page import BEGIN, END
from shapes import PublishedLayer
from sweeps.line import COMMAND, SweepLine, Swept
from sweeps.lines import best_lines, variant_lines
from sweeps.tables import HEADINGS, cells, page_lines, summary

from nkimoe.cli.main import main as nkimoe
from nkimoe.cli.sweep.command import sweep

SMALL = SweepLine(
    PublishedLayer("mixtral-8x7b", T=8, tp=64), "trn2", (8, 16), ("bf16", "fp8-row"), ("shard_on_block", "shard_on_i")
)
PAGE = performance.PAGE.read_text(encoding="utf-8")
GENERATED = PAGE.partition(BEGIN)[2].partition(END)[0].splitlines()
FIGURE = re.compile(r"(?<![\w.])\d[\d,.]*")
ROW = {
    "layer": "mixtral-8x7b", "tp": 64, "ep": 1, "target": "trn2", "tokens": 4096, "weights": "bf16", "reason": "",
    "variant": "shard_on_block", "strategy": "HI_LO", "block_size": 128, "latency_us": 2345.6, "low_us": 1999.5,
    "high_us": 2400.0, "roofline_us": 1172.8, "of_roofline": 0.5, "bound_by": "dma", "best": True,
}  # fmt: skip


def tables(lines: list[str]) -> list[tuple[str, list[list[str]]]]:
    """The line above each table, and its rows without the headings.

    Raises AssertionError: a table has no line.
    """
    found: list[tuple[str, list[list[str]]]] = []
    line = ""
    for is_table, those in groupby(lines, key=lambda text: text.startswith("|")):
        if is_table:
            assert line, "a table without a line"
            found.append((line, [[cell.strip() for cell in text.strip("|").split("|")] for text in those][2:]))
            line = ""
        else:
            line = next((text for text in those if text.startswith(f"{COMMAND} sweep ")), "")
    return found


def numbers(row: list[str]) -> list[float]:
    """Tokens, block, nominal, least, most, roofline, share."""
    cells = [row[HEADINGS.index(name)] for name in ("tokens", "block", "us", "roofline us", "of roofline")]
    return [float(text) for text in re.findall(r"[\d.]+", " ".join(cells).replace(",", ""))]


def of_json(row: dict[str, float]) -> list[float]:
    """The same."""
    us = [round(row[name]) for name in ("latency_us", "low_us", "high_us", "roofline_us")]
    return [row["tokens"], row["block_size"], *us, round(100 * row["of_roofline"])]


def test_the_page_has_the_lines_that_the_script_runs_and_a_table_under_each() -> None:
    assert [line for line, _ in tables(GENERATED)] == [str(line) for line in (*best_lines(), *variant_lines())]


def test_a_table_without_a_line_is_found() -> None:
    page = page_lines([Swept(SMALL, "2", (ROW,))], [])
    assert [line for line, _ in tables(page)] == [str(SMALL)]
    with pytest.raises(AssertionError, match="without a line"):
        tables([text for text in page if not text.startswith(COMMAND)])


def test_the_text_around_the_tables_has_no_figures() -> None:
    assert FIGURE.findall(PAGE.replace("\n".join(GENERATED), "")) == []


def test_a_figure_in_a_text_is_found_and_a_name_with_a_digit_is_none() -> None:
    assert FIGURE.findall("On Trn3 with fp8 weights 1,234 us, 12 % more") == ["1,234", "12"]


@pytest.mark.parametrize(("line", "rows"), tables(GENERATED), ids=[line for line, _ in tables(GENERATED)])
def test_a_line_of_the_page_is_understood_and_asks_for_the_rows_beneath(line: str, rows: list[list[str]]) -> None:
    command, subcommand, *arguments = shlex.split(line)
    assert (command, subcommand) == (COMMAND, sweep.name)
    asked = sweep.make_context(sweep.name, arguments).params
    assert rows
    for row in rows:
        assert int(row[HEADINGS.index("tokens")].replace(",", "")) in asked["tokens"]
        assert row[HEADINGS.index("weights")] in asked["weights"]
        assert row[HEADINGS.index("variant")].split()[0] in asked["variant"]


def test_a_line_with_a_mistake_is_not_understood() -> None:
    with pytest.raises(Exception, match="shard_on_nothing"):
        sweep.make_context(sweep.name, shlex.split(str(SMALL).replace("shard_on_block", "shard_on_nothing"))[2:])


def test_the_script_writes_what_the_printed_lines_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, kept, file = tmp_path / "page.md", ["--jobs", "1", "--cache", str(tmp_path)], tmp_path / "rows.json"
    page.write_text(BEGIN + END)
    monkeypatch.setattr(performance, "best_lines", lambda: [SMALL])
    monkeypatch.setattr(performance, "variant_lines", lambda: [SMALL])
    result = CliRunner().invoke(performance.main, ["--page", str(page), *kept])
    assert result.exit_code == 0, result.output
    (line, best), (_, every) = tables(page.read_text().splitlines())
    nkimoe([*shlex.split(line)[1:], *kept, "--json", str(file)], standalone_mode=False)
    rows = json.loads(file.read_text())["rows"]
    assert [numbers(row) for row in every] == [of_json(row) for row in rows]
    assert [numbers(row) for row in best] == [of_json(row) for row in rows if row["best"]]
    assert len(every) == 8
    assert len(best) == 4


def test_a_row_without_a_prediction_is_in_no_table() -> None:
    estimated = {**ROW, "latency_us": None, "best": False}
    impossible = {**estimated, "reason": "--weights mxfp4 needs trn3."}
    swept = Swept(SMALL, "2", (ROW, estimated, impossible))
    lines = page_lines([swept], [swept])
    assert [rows for _, rows in tables(lines)] == [[cells(ROW)]] * 2
    assert lines.count("Impossible: --weights mxfp4 needs trn3.") == 2


def test_the_summary_compares_weights_of_the_same_call() -> None:
    fp8 = {**ROW, "weights": "fp8-row", "latency_us": 1172.8, "of_roofline": 0.125}
    said = summary([ROW, fp8, {**fp8, "tokens": 640}])
    assert "3 calls are predicted to reach 12% to 50% of their rooflines, geometric mean 20%" in said
    assert "1 of them take 0.50 to 0.50 of the time" in said
    assert "fp8" not in summary([ROW])
