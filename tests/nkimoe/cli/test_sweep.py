"""`nkimoe sweep`: every point has a row, impossible ones with the reason; what was predicted is kept."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

pytest.importorskip("joblib")

from nkimoe.choosing import CostEstimate
from nkimoe.cli.main import main
from nkimoe.cli.sweep import command, grid
from nkimoe.cli.sweep.files import ORIGIN
from nkimoe.cli.sweep.point import LayerPrediction, Outcome
from nkimoe.cli.sweep.row import COLUMNS
from nkisim.machine import load_machine, machine_text

SIZES = ("--hidden", "128", "--intermediate", "64", "--experts", "4", "--top-k", "2", "--tp", "1")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def sweep(*arguments: str, sizes: tuple[str, ...] = SIZES) -> Result:
    return CliRunner().invoke(main, ["sweep", *sizes, "--jobs", "1", *arguments])


def rows_of(tmp_path: Path, *arguments: str, sizes: tuple[str, ...] = SIZES) -> list[dict[str, Any]]:
    file = tmp_path / "rows.json"
    result = sweep("--json", str(file), *arguments, sizes=sizes)
    assert result.exit_code == 0, result.output
    rows: list[dict[str, Any]] = json.loads(file.read_text())["rows"]
    return rows


def predicted(latency_us: float, **others: Any) -> Outcome:
    """An outcome as if it had been simulated."""
    values: dict[str, Any] = dict.fromkeys(LayerPrediction.__dataclass_fields__, 1)
    spread = {"low_us": 0.9 * latency_us, "high_us": 1.1 * latency_us, "roofline_us": latency_us / 4}
    return Outcome(LayerPrediction(**values | spread | {"latency_us": latency_us, "bound_by": "dma"} | others))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """No simulation: a latency that grows with tokens and falls with ranks. Returns what was predicted."""
    asked: list[Any] = []

    def predict(machines: Any, setup: Any) -> Outcome:
        asked.append(setup)
        return predicted(setup.tokens / setup.tp**0.5 / setup.ep)

    monkeypatch.setattr(command, "predict", predict)
    return asked


def test_a_sweep_predicts_what_run_predicts(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, "--model", "olmoe-1b-7b", "--tokens", "20", "--tp", "64", sizes=())
    file = tmp_path / "run.json"
    arguments = ["run", "--model", "olmoe-1b-7b", "--tokens", "20", "--tp", "64", "--no-numerics", "--json", str(file)]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    run = json.loads(file.read_text())
    assert row["latency_us"] == run["predicted"]["latency_us"]
    assert [row["low_us"], row["high_us"]] == run["predicted"]["interval_us"]
    assert row["roofline_us"] == run["predicted"]["roofline_us"]
    assert row["hbm_read_bytes"] == run["predicted"]["hbm_bytes"]["read"]
    assert row["block_size"] == run["problem"]["B"]
    assert row["tokens_per_s"] == pytest.approx(20 / row["latency_us"] * 1e6)


def test_every_combination_has_a_row_and_equal_points_have_one(tmp_path: Path, quick: list[Any]) -> None:
    rows = rows_of(
        tmp_path, "--tokens", "64..256", "--tp", "1,2", "--ep", "1,4", "--variant", "shard_on_block,shard_on_i",
        "--strategy", "all",
    )  # fmt: skip
    by_block = 3 * 2 * 2 * 2
    without_strategy = 3 * 2 * 2
    assert len(rows) == len(quick) == by_block + without_strategy
    assert {row["strategy"] for row in rows if row["variant"] == "shard_on_i"} == {""}
    assert {row["slots"] for row in rows if row["ep"] == 4} == {"tokens"}


@pytest.mark.parametrize(
    ("axis", "reason"),
    [
        (("--tp", "1,1000"), "leaves every rank columns"),
        (("--ep", "1,3"), "divides the 4 experts"),
        (("--weights", "bf16,mxfp4"), "trn2 has no MX"),
        (("--variant", "shard_on_block,shard_on_block_mx"), "does not take these weights"),
        (("--block-size", "64,1000000"), "fits in"),
    ],
)
def test_what_cannot_be_is_listed_with_the_reason(
    tmp_path: Path, quick: list[Any], axis: tuple[str, str], reason: str
) -> None:
    possible, impossible = rows_of(tmp_path, *axis)
    assert possible["latency_us"] > 0
    assert possible["reason"] == ""
    assert impossible["latency_us"] is None
    assert reason in impossible["reason"]
    output = " ".join(sweep(*axis).output.split())
    assert reason in output
    assert "(1) 1 impossible" in output


def test_a_point_that_fails_while_it_runs_is_listed_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nkimoe.cli.sweep.point.run_experiment", lambda *_, **__: 1 / 0)
    assert rows_of(tmp_path)[0]["reason"] == "ZeroDivisionError: division by zero"
    monkeypatch.undo()
    assert rows_of(tmp_path, "--cache", str(tmp_path / "cache"))[0]["reason"] == ""


def test_what_was_predicted_is_not_predicted_again(tmp_path: Path, quick: list[Any]) -> None:
    cache = ("--cache", str(tmp_path / "kept"))
    first = rows_of(tmp_path, *cache, "--tokens", "64,128")
    again = rows_of(tmp_path, *cache, "--tokens", "64,128,256")
    assert [setup.tokens for setup in quick] == [64, 128, 256]
    assert again[:2] == first
    rows_of(tmp_path, "--no-cache", "--tokens", "64")
    assert len(quick) == 4


def test_another_clock_predicts_again(tmp_path: Path, quick: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    rows_of(tmp_path)
    monkeypatch.setattr("nkimoe.sweep.store.CLOCK", "0.0")
    rows_of(tmp_path)
    assert len(quick) == 2


@pytest.fixture
def slow_machine(tmp_path: Path) -> str:
    """A machine file of a Trn2 whose DMA is slower."""
    file, shipped = tmp_path / "slow.toml", load_machine("trn2")
    rate = replace(shipped.quantities["dma.rate"], value=0.25, low=None, high=None)
    file.write_text(machine_text(replace(shipped, quantities={**shipped.quantities, "dma.rate": rate}), "slow"))
    return str(file)


def test_a_machine_file_predicts_with_its_constants_and_is_kept_apart(tmp_path: Path, slow_machine: str) -> None:
    (shipped,) = rows_of(tmp_path, "--tokens", "32")
    for jobs in ("1", "2"):
        (slow,) = rows_of(tmp_path, "--tokens", "32", "--machine", slow_machine, "--jobs", jobs, "--no-cache")
        assert slow["latency_us"] > 1.5 * shipped["latency_us"]
    assert rows_of(tmp_path, "--tokens", "32", "--machine", slow_machine) == [slow]
    assert rows_of(tmp_path, "--tokens", "32") == [shipped]


def test_a_machine_file_is_of_one_target(quick: list[Any], slow_machine: str) -> None:
    result = sweep("--target", "trn2,trn3", "--machine", slow_machine)
    assert result.exit_code == 2
    assert "--target trn3: the machine file in use describes trn2" in " ".join(result.output.split())


def test_names_are_taken_in_any_case_and_near_ones_are_told(tmp_path: Path, quick: list[Any]) -> None:
    rows = rows_of(tmp_path, "--strategy", "hi_lo,Ping_Pong", "--variant", "shard_on_block")
    assert [row["strategy"] for row in rows] == ["HI_LO", "PING_PONG"]
    assert "Did you mean shard_on_block" in " ".join(sweep("--variant", "shard_on_blok").output.split())


def test_the_table_is_plain_text_of_any_width(quick: list[Any]) -> None:
    wide = ("--variant", "shard_on_i_hybrid,shard_on_block", "--tp", "1,2", "--ep", "1,2", "--weights", "bf16,int8")
    wide = (*wide, "--block-size", "64")
    head, *lines = [line for line in sweep(*wide).stdout.splitlines() if not line.startswith("best:")]
    columns = "tokens tp ep variant strategy weights latency least to most tokens/s roofline HBM weight bytes bound by"
    assert head.split() == columns.split()
    assert len(lines) == 2 * 2 * 2 * 2
    assert len({line.index("int8" if "int8" in line else "bf16") for line in lines}) == 1
    assert not any(line.endswith((" ", "…")) for line in lines)


def test_a_damaged_file_of_the_cache_is_predicted_again(tmp_path: Path, quick: list[Any]) -> None:
    cache = tmp_path / "kept"
    rows_of(tmp_path, "--cache", str(cache))
    (kept,) = cache.rglob("*.json")
    kept.write_text(kept.read_text()[:40])
    rows_of(tmp_path, "--cache", str(cache))
    assert len(quick) == 2


def test_an_interrupted_sweep_keeps_what_is_done_and_goes_on_there(
    tmp_path: Path, quick: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(machines: Any, setup: Any) -> Outcome:
        if setup.tokens == 256:
            raise KeyboardInterrupt
        return predicted(setup.tokens)

    whole = command.predict
    monkeypatch.setattr(command, "predict", interrupted)
    file = tmp_path / "rows.csv"
    result = sweep("--tokens", "64..512", "--csv", str(file))
    assert result.exit_code == 130
    assert "2 of 4 points" in result.output
    assert [row["tokens"] for row in csv.DictReader(file.read_text().splitlines())] == ["64", "128"]
    monkeypatch.setattr(command, "predict", whole)
    assert len(rows_of(tmp_path, "--tokens", "64..512")) == 4
    assert [setup.tokens for setup in quick] == [256, 512]


def test_the_best_row_of_each_number_of_tokens_is_marked_and_explained(tmp_path: Path, quick: list[Any]) -> None:
    arguments = ("--tokens", "64,128", "--tp", "1,2,4")
    rows = rows_of(tmp_path, *arguments)
    assert [(row["tokens"], row["tp"]) for row in rows if row["best"]] == [(64, 4), (128, 4)]
    best = json.loads((tmp_path / "rows.json").read_text())["best"]
    assert [entry["row"]["tp"] for entry in best] == [4, 4]
    assert "29.3% less latency than tp 2" in best[0]["why"]
    output = " ".join(sweep(*arguments).output.split())
    assert "own sizes, 128 tokens: tp 4" in output
    assert "★" in output


ESTIMATES, PREDICTIONS = {1: 100.0, 2: 110.0, 4: 200.0}, {1: 120.0, 2: 90.0, 4: 50.0}  # microseconds by tp


@pytest.fixture
def far_four(quick: list[Any], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """tp 4 is estimated far behind tp 1 and 2. Returns what was predicted."""

    def predict(machines: Any, setup: Any) -> Outcome:
        quick.append(setup)
        return predicted(PREDICTIONS[setup.tp])

    monkeypatch.setattr(command, "predict", predict)
    monkeypatch.setattr(grid, "estimated", lambda setup: CostEstimate(ESTIMATES[setup.tp], "dma"))
    return quick


def test_with_predict_best_rows_that_are_estimated_far_behind_are_not_predicted(
    tmp_path: Path, far_four: list[Any]
) -> None:
    arguments = ("--tp", "1,2,4", "--predict", "best")
    rows = rows_of(tmp_path, *arguments)
    assert [setup.tp for setup in far_four] == [1, 2]
    assert [(row["tp"], row["latency_us"], row["estimated_us"], row["best"]) for row in rows] == [
        (1, 120, 100, False), (2, 90, 110, True), (4, None, 200, False),
    ]  # fmt: skip
    assert {row["reason"] for row in rows} == {""}
    output = " ".join(sweep(*arguments).output.split())
    assert "4 estimated 200 us" in output
    assert "25.0% less latency than tp 1; far behind by estimate: 1" in output


def test_estimates_that_are_too_long_together_hide_no_row(
    tmp_path: Path, far_four: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for tp, us in {1: 200.0, 2: 250.0, 4: 400.0}.items():
        monkeypatch.setitem(ESTIMATES, tp, us)
    rows = rows_of(tmp_path, "--tp", "1,2,4", "--predict", "best")
    assert [row["latency_us"] for row in rows] == [120, 90, None]


def test_without_it_all_rows_are_predicted(tmp_path: Path, far_four: list[Any]) -> None:
    rows = rows_of(tmp_path, "--tp", "1,2,4")
    assert [row["latency_us"] for row in rows] == [120, 90, 50]


def test_a_point_that_may_be_best_and_fails_gives_way_to_the_next(
    tmp_path: Path, far_four: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = command.predict
    monkeypatch.setattr(
        command, "predict", lambda m, setup: Outcome(None, "broken") if setup.tp < 4 else whole(m, setup)
    )
    rows = rows_of(tmp_path, "--tp", "1,2,4", "--predict", "best")
    assert [(row["latency_us"], row["reason"]) for row in rows] == [(None, "broken"), (None, "broken"), (50, "")]


def test_each_kind_of_weights_has_a_best_row(tmp_path: Path, far_four: list[Any]) -> None:
    rows = rows_of(tmp_path, "--tp", "1,2", "--weights", "bf16,fp8-row")
    assert [(row["weights"], row["tp"]) for row in rows if row["best"]] == [("bf16", 2), ("fp8-row", 2)]


def test_ranks_are_layouts_of_so_many(tmp_path: Path, quick: list[Any]) -> None:
    rows = rows_of(tmp_path, "--tp", "1..8", "--ranks", "2,4")
    assert [(row["tp"], row["ep"]) for row in rows] == [(1, 2), (2, 1), (1, 4), (2, 2), (4, 1)]


def test_a_layout_whose_ranks_cannot_hold_the_model_is_impossible_unless_memory_is_ignored(
    tmp_path: Path, quick: list[Any]
) -> None:
    layout = ("--model", "qwen3-235b-a22b", "--tp", "2", "--ep", "1,16")
    small, large = rows_of(tmp_path, *layout, sizes=())
    assert "memory: of a rank, 24 GiB, holds its part of the model; got 220 GiB, 212 of them experts" in small["reason"]
    assert large["latency_us"] > 0
    assert all(row["latency_us"] for row in rows_of(tmp_path, *layout, "--ignore-memory", sizes=()))


def test_with_a_price_the_cheapest_row_is_best(tmp_path: Path, quick: list[Any]) -> None:
    rows = rows_of(tmp_path, "--tokens", "64", "--tp", "1,2,4", "--price-per-hour", "1.5")
    assert [row["tp"] for row in rows if row["best"]] == [1]
    for row in rows:
        hours = row["latency_us"] / 3600e6
        assert row["cost_per_million_tokens"] == pytest.approx(hours * 1.5 * row["ranks"] / 64 * 1e6)
    by_time = rows_of(tmp_path, "--tokens", "64", "--tp", "1,2,4", "--price-per-hour", "1.5", "--objective", "latency")
    assert [row["tp"] for row in by_time if row["best"]] == [4]


def test_rows_stand_beside_the_one_with_uniform_routing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "predict", lambda _, setup: predicted(100 if setup.routing.exponent == 0 else 150))
    rows = rows_of(tmp_path, "--routing", "uniform,zipf:1.0")
    assert [(row["routing"], row["over_uniform"]) for row in rows] == [("uniform", 1), ("zipf:1", 1.5)]


def test_skewed_routing_is_predicted_slower_and_its_skew_is_told(tmp_path: Path) -> None:
    uniform, skewed = rows_of(tmp_path, "--tokens", "1500", "--ep", "4", "--routing", "uniform,zipf:3.0")
    assert skewed["latency_us"] > uniform["latency_us"]
    assert skewed["busiest_expert_over_mean"] > 1.5 > uniform["busiest_expert_over_mean"]
    assert skewed["busiest_rank_over_mean"] > uniform["busiest_rank_over_mean"]
    assert skewed["rank_pairs"] > uniform["rank_pairs"] >= 1500 * 2 / 4


def test_tables_hold_the_same_rows_and_what_made_them(tmp_path: Path, quick: list[Any]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    files = {name: tmp_path / f"rows.{name}" for name in ("csv", "json", "parquet")}
    arguments = [word for name, file in files.items() for word in (f"--{name}", str(file))]
    assert sweep("--tokens", "64,128", "--tp", "1,1000", *arguments).exit_code == 0
    document = json.loads(files["json"].read_text())
    table = parquet.read_table(files["parquet"])
    lines = list(csv.DictReader(files["csv"].read_text().splitlines()))
    assert table.to_pylist() == document["rows"]
    assert list(lines[0]) == [*COLUMNS, *ORIGIN]
    assert [{k: "" if v is None else str(v) for k, v in row.items()} for row in document["rows"]] == [
        {name: line[name] for name in COLUMNS} for line in lines
    ]
    assert {b"nkimoe", b"clock", b"command", b"seed"} <= set(table.schema.metadata)
    assert document["made_by"]["clock"] == lines[0]["clock"] == table.schema.metadata[b"clock"].decode()


@pytest.mark.parametrize("price", [(), ("--price-per-hour", "2")])
def test_a_picture_is_drawn(tmp_path: Path, quick: list[Any], price: tuple[str, ...]) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / "sweep.svg"
    assert sweep("--tokens", "64..256", "--tp", "1,2", "--picture", str(file), *price).exit_code == 0
    assert file.read_text().startswith("<?xml")


def test_where_not_all_is_predicted_a_picture_has_a_line_through_the_best_layouts_with_a_mark_each(
    tmp_path: Path, far_four: list[Any]
) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / "best.svg"
    arguments = ("--tokens", "64..256", "--tp", "1,2,4", "--weights", "bf16,fp8-row", "--predict", "best")
    assert sweep(*arguments, "--picture", str(file)).exit_code == 0
    texts = re.findall("<!-- (.*) -->", file.read_text())
    assert {"weights bf16", "weights fp8-row", "tp 2, ep 1", "own sizes"} <= set(texts)
    assert not any("tp 1" in text or "tp 4" in text for text in texts)


def test_a_picture_of_nothing_is_empty(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = sweep("--tp", "1000", "--picture", str(tmp_path / "empty.png"))
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("--tokens", "0"),
        ("--tokens", "8..4..2"),
        ("--tokens", "100..50"),
        ("--tp", "1..9*1"),
        ("--tokens", "1..100000+1"),
        ("--tokens", "1..900+1", "--tp", "1..900+1"),
        ("--variant", "shard_on_q"),
        ("--strategy", "sideways"),
        ("--routing", "somewhere.npy"),
        ("--routing", "zipf:lots"),
        ("--top-k", "9"),
        ("--objective", "cost"),
        ("--price-per-hour", "0"),
        ("--engine", "dask"),
        ("--scheduler", "tcp://127.0.0.1:1"),
        ("--cache", "x", "--no-cache"),
        ("--csv", "missing/folder/x.csv"),
        ("--picture", "x.bmp"),
        ("--config", __file__),
        ("--ranks", "4", "--ep", "2"),
        ("--ranks", "3", "--tp", "2"),
    ],
    ids=" ".join,
)
def test_nonsense_is_refused_with_status_2_before_anything_is_predicted(
    quick: list[Any], arguments: tuple[str, ...]
) -> None:
    result = sweep(*arguments)
    assert result.exit_code == 2, result.output
    assert "Error: " in result.output
    assert quick == []


def test_a_layer_of_ones_own_needs_all_sizes() -> None:
    result = sweep(sizes=("--hidden", "128"))
    assert result.exit_code == 2
    assert "--intermediate, --experts, --top-k" in result.output
