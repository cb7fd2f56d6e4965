"""The command line: keys and names that people script, refusals, files never half written."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from nkimoe.cli import json_report
from nkimoe.cli.layer_data import SEED
from nkimoe.cli.main import main
from nkimoe.cli.matrix import as_text
from nkimoe.cli.op.table import OPERATIONS
from nkimoe.errors import RequestError
from nkimoe.models import MODELS, Model
from nkimoe.routing import RoutingRule

TINY = Model(H=256, I=192, E=8, routing=RoutingRule(2), source="made up")
KEYS = {
    "schema_version", "made_by", "toolchain", "target", "lnc", "variant", "model", "slots", "numerics", "problem",
    "weights", "activations", "correct", "predicted", "what_if_us", "findings", "wall_s",
}  # fmt: skip
PREDICTED = {
    "latency_us", "roofline_us", "fraction_of_roofline", "bound_by", "tflops", "mfu", "hbm_bytes", "engines",
    "sbuf_peak_bytes_per_partition", "psum_peak_banks", "provenance", "clock", "interval_us", "by_order",
    "by_look_ahead", "critical_path_us", "lines", "functions",
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
    for word in ("H=256 I=96 E=8 top-2", "blocks", "passed", "instructions", "HBM", "SBUF peak", "of the roofline"):
        assert word in " ".join(result.output.split()), word


def test_run_writes_the_documented_json_keys(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    assert run_tiny("--json", str(target)).exit_code == 0
    document = json.loads(target.read_text())
    assert set(document) == KEYS
    assert set(document["predicted"]) == PREDICTED
    assert document["problem"] == {"T": 100, "H": 256, "E": 8, "I": 96, "K": 2, "B": 32, "N": 14}
    assert document["correct"]["passed"] is True
    assert document["correct"]["rel_l2"] <= document["correct"]["tolerance"]
    assert document["what_if_us"] == {}
    assert document["model"] == {"name": "olmoe-1b-7b", "tp": 2, "layer": None}
    assert (document["slots"], document["numerics"], document["made_by"]["seed"]) == ("pairs", True, SEED)
    predicted = document["predicted"]
    assert predicted["hbm_bytes"]["read"] > 0
    assert predicted["fraction_of_roofline"] == pytest.approx(predicted["roofline_us"] / predicted["latency_us"])
    assert 0 < predicted["fraction_of_roofline"] < 1
    useful = 6 * 100 * 2 * 256 * 96
    assert predicted["tflops"] == pytest.approx(useful / predicted["latency_us"] / 1e6)
    assert predicted["mfu"] == pytest.approx(predicted["tflops"] / (2 * 2 * 128 * 128 * 2.4e-3))
    assert set(predicted["engines"]["tensor"]) == {"busy_us", "utilization", "instructions"}
    assert sum(predicted["provenance"].values()) == pytest.approx(1)
    assert sum(predicted["critical_path_us"].values()) == pytest.approx(predicted["latency_us"])
    assert 0 < predicted["lines"][0]["critical_us"] < predicted["latency_us"]
    assert ".py:" in predicted["lines"][0]["place"]
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("variant", ["shard_on_block", "shard_on_i", "shard_on_i_hybrid"])
def test_a_rank_of_several_that_share_the_experts_computes_its_own(tmp_path: Path, variant: str) -> None:
    target = tmp_path / "out.json"
    result = run_tiny("--ep", "4", "--variant", variant, "--strategy", "ping_pong", "--json", str(target))
    assert result.exit_code == 0, result.output
    document = json.loads(target.read_text())
    assert document["problem"]["E"] == 2
    assert document["correct"]["passed"] is True
    assert "expert parallel 4" in result.output


def test_two_runs_give_the_same_numbers(tmp_path: Path) -> None:
    documents = []
    for name in ("a.json", "b.json"):
        assert run_tiny("--json", str(tmp_path / name)).exit_code == 0
        documents.append(json.loads((tmp_path / name).read_text()))
        del documents[-1]["wall_s"]
    assert documents[0] == documents[1]


def test_gpt_oss_runs_with_biases_clamps_and_padded_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    small = Model(H=200, I=90, E=4, routing=RoutingRule(2), source="made up", biases=True, limit=7.0, up_shift=1.0)
    monkeypatch.setitem(MODELS, "gpt-oss-20b", small)
    result = nkimoe("run", "--model", "gpt-oss-20b", "--tp", "1", "--tokens", "60", "--lnc", "1")
    assert result.exit_code == 0, result.output
    assert "H=256 I=96" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("--weights", "fp4"),
        ("--variant", "shard_on_i_mx"),
        ("--variant", "shard_on_block", "--weights", "mxfp4", "--target", "trn3"),
        ("--dequantise",),
        ("--prompt", "a text", "--text", __file__),
        ("--prompt", ""),
        ("--checkpoint", "somewhere"),
        ("--layer", "3"),
        ("--trace", "missing/folder/t.json"),
        ("--timeline", "missing/folder/t.png"),
        ("--roofline", "r.bmp"),
        ("--what-if", "hbn=1.2"),
        ("--what-if", "hbm=fast"),
        ("--what-if", "hbm=-1"),
        ("--block-size", "0"),
        ("--block-size", "100000"),
        ("--tokens", "0"),
        ("--json", "missing/folder/out.json"),
        ("--model", "no-such-model"),
        ("--target", "trn1"),
        ("--tp", "1000"),
        ("--ep", "3"),
        ("--ep", "0"),
        ("--slots", "pairs", "--ep", "2"),
        ("--strategy", "sideways"),
        ("--routing", "missing.npy"),
        ("--routing", "zipf:lots"),
        ("--routing-layer", "1"),
    ],
    ids=lambda a: " ".join(a),
)
def test_run_refuses_what_it_cannot_do_with_status_2_and_says_why(arguments: tuple[str, ...]) -> None:
    result = run_tiny(*arguments)
    assert result.exit_code == 2
    assert "Error: " in result.output
    assert arguments[0].lstrip("-").replace("-", "") in result.output.replace("-", "").replace("_", "")


@pytest.mark.parametrize("variant", ["auto", "shard_on_i_mx", "shard_on_i_mx_hybrid"])
@pytest.mark.parametrize("weights", ["mxfp4", "mxfp8"])
def test_mx_runs_on_trn3_and_says_how_far_unquantised_activations_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, weights: str, variant: str
) -> None:
    small = Model(H=600, I=150, E=4, routing=RoutingRule(2), source="made up", biases=True, limit=7.0, up_shift=1.0)
    monkeypatch.setitem(MODELS, "gpt-oss-20b", small)
    sizes = ("--model", "gpt-oss-20b", "--tp", "2", "--tokens", "60", "--json", str(tmp_path / "r.json"))
    result = nkimoe("run", *sizes, "--weights", weights, "--variant", variant, "--target", "trn3")
    assert result.exit_code == 0, result.output
    assert "H=1024 I=96" in result.output
    correct = json.loads((tmp_path / "r.json").read_text())["correct"]
    assert correct["rel_l2"] < 1e-2 < correct["rel_l2_unquantised"] < 0.1


def test_trn2_computes_mx_weights_only_when_told_to_dequantise() -> None:
    refused = run_tiny("--weights", "mxfp4")
    assert refused.exit_code == 2
    assert "--dequantise" in refused.output
    result = run_tiny("--weights", "mxfp4", "--dequantise")
    assert result.exit_code == 0, result.output
    assert "moe_cte shard_on_block on" in result.output


@pytest.mark.parametrize(
    "weights",
    [("mxfp8", "--target", "trn3"), ("fp8-row",), ("fp8-static",), ("fp8-block",), ("fp8-row", "--target", "trn3")],
)
def test_shapes_only_predicts_what_a_full_run_does(tmp_path: Path, weights: tuple[str, ...]) -> None:
    latencies = []
    for extra in ((), ("--no-numerics",)):
        result = run_tiny("--weights", *weights, "--json", str(tmp_path / "r.json"), *extra)
        assert result.exit_code == 0, result.output
        latencies.append(json.loads((tmp_path / "r.json").read_text())["predicted"]["latency_us"])
    assert latencies[0] == latencies[1]


@pytest.mark.parametrize("variant", ["shard_on_block", "shard_on_i", "shard_on_i_hybrid"])
def test_fp8_runs_and_one_scale_a_matrix_or_block_nearly_halves_what_is_read(tmp_path: Path, variant: str) -> None:
    read = {}
    for weights in ("bf16", "fp8-row", "fp8-static", "fp8-block"):
        result = run_tiny("--weights", weights, "--variant", variant, "--json", str(tmp_path / "r.json"))
        assert result.exit_code == 0, result.output
        document = json.loads((tmp_path / "r.json").read_text())
        assert document["correct"]["passed"]
        read[weights] = document["predicted"]["hbm_bytes"]["read"]
    assert max(read["fp8-static"], read["fp8-block"]) < 0.65 * read["bf16"]


@pytest.mark.parametrize("tokens", ["1", "2", "5"])
def test_few_tokens_run(tokens: str) -> None:
    result = nkimoe("run", "--model", "olmoe-1b-7b", "--tp", "32", "--lnc", "1", "--tokens", tokens, "--no-numerics")
    assert result.exit_code == 0, result.output


def test_explain_plans_fp8() -> None:
    result = nkimoe("explain", "--model", "gpt-oss-20b", "--tp", "8", "--weights", "fp8-static")
    assert result.exit_code == 0, result.output
    assert "H=2944 I=368" in result.output


@pytest.mark.parametrize("target", ["trn2", "trn3"])
@pytest.mark.parametrize("weights", ["fp8-row", "fp8-static"])
def test_fp8_runs_and_predicts_without_numbers_what_a_full_run_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, weights: str, target: str
) -> None:
    small = Model(H=200, I=150, E=3, routing=RoutingRule(2), source="made up", biases=True, limit=7.0, up_shift=1.0)
    monkeypatch.setitem(MODELS, "gpt-oss-20b", small)
    options = ("--model", "gpt-oss-20b", "--tp", "2", "--tokens", "60", "--weights", weights, "--target", target)
    reports = []
    for extra in ((), ("--no-numerics",)):
        result = nkimoe("run", *options, "--json", str(tmp_path / "r.json"), *extra)
        assert result.exit_code == 0, result.output
        reports.append(json.loads((tmp_path / "r.json").read_text()))
    assert reports[0]["correct"]["passed"]
    assert reports[0]["predicted"]["latency_us"] == reports[1]["predicted"]["latency_us"]
    assert nkimoe("explain", *options).exit_code == 0


@pytest.mark.parametrize("extra", [("--target", "trn3"), ("--dequantise",)])
def test_explain_plans_mx(extra: tuple[str, ...]) -> None:
    result = nkimoe("explain", "--model", "gpt-oss-120b", "--tp", "8", "--weights", "mxfp4", *extra)
    assert result.exit_code == 0, result.output
    assert "H=3072 I=384" in result.output


def test_int8_runs_with_int8_activations_and_says_how_far_unquantised_ones_are(tmp_path: Path) -> None:
    result = run_tiny("--weights", "int8", "--json", str(tmp_path / "r.json"))
    assert result.exit_code == 0, result.output
    assert "weights int8, activations int8" in " ".join(result.output.split())
    document = json.loads((tmp_path / "r.json").read_text())
    assert (document["weights"], document["activations"]) == ("int8", "int8")
    correct = document["correct"]
    assert correct["passed"]
    assert correct["rel_l2"] < 1e-2 < correct["rel_l2_unquantised"] < 0.05


def test_int8_runs_with_biases_limits_and_padded_sizes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small = Model(H=200, I=90, E=4, routing=RoutingRule(2), source="made up", biases=True, limit=7.0, up_shift=1.0)
    monkeypatch.setitem(MODELS, "gpt-oss-20b", small)
    sizes = ("--model", "gpt-oss-20b", "--tp", "1", "--tokens", "60", "--json", str(tmp_path / "r.json"))
    result = nkimoe("run", *sizes, "--weights", "int8")
    assert result.exit_code == 0, result.output
    correct = json.loads((tmp_path / "r.json").read_text())["correct"]
    assert correct["rel_l2"] < 1e-2 < correct["rel_l2_unquantised"] < 0.05


def test_int8_predicts_the_same_time_without_numerics_and_is_explained(tmp_path: Path) -> None:
    documents = {}
    for name, options in (("full", ()), ("shapes", ("--no-numerics",))):
        assert run_tiny("--weights", "int8", "--json", str(tmp_path / name), *options).exit_code == 0
        documents[name] = json.loads((tmp_path / name).read_text())["predicted"]
    assert documents["full"] == documents["shapes"]
    assert "static-then-dynamic schedule, int8" in nkimoe("explain", "--weights", "int8").output


@pytest.mark.parametrize("variant", ["shard_on_i_mx", "shard_on_i_mx_hybrid"])
@pytest.mark.parametrize("command", ["run", "explain"])
def test_variants_that_do_not_take_int8_say_so(variant: str, command: str) -> None:
    model = ("--model", "olmoe-1b-7b", "--tp", "2", "--tokens", "100")
    result = nkimoe(command, *model, "--weights", "int8", "--variant", variant, "--target", "trn3")
    assert result.exit_code == 2
    assert "does not take these weights" in " ".join(result.output.split())


def test_int8_runs_where_cores_share_a_block() -> None:
    result = run_tiny("--weights", "int8", "--variant", "shard_on_i")
    assert result.exit_code == 0, result.output


def test_run_writes_a_trace_and_pictures(tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}.{suffix}" for name, suffix in (
        ("trace", "json"), ("timeline", "png"), ("roofline", "svg"),
    )}  # fmt: skip
    result = run_tiny(*[word for name, path in files.items() for word in (f"--{name}", str(path))])
    assert result.exit_code == 0, result.output
    assert json.loads(files["trace"].read_text())["traceEvents"]
    assert files["timeline"].read_bytes().startswith(b"\x89PNG")
    assert files["roofline"].read_text().startswith("<?xml")
    assert sorted(tmp_path.iterdir()) == sorted(files.values())
    assert all(f"wrote {path}" in result.output for path in files.values())


def test_run_writes_a_page_about_the_layer(tmp_path: Path) -> None:
    pytest.importorskip("bokeh")
    target = tmp_path / "page.html"
    result = run_tiny("--no-numerics", "--html", str(target))
    assert result.exit_code == 0, result.output
    assert f"wrote {target}" in result.output
    page = target.read_text(encoding="utf-8")
    assert "<title>moe_cte shard_on_block: olmoe-1b-7b, 100 tokens</title>" in page
    assert "H=256 I=96 E=8 top-2" in page


def test_a_page_without_bokeh_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nkisim.report.page.plots.importlib.util.find_spec", lambda name: None)
    result = run_tiny("--html", str(tmp_path / "page.html"))
    assert result.exit_code == 2
    assert "pip install 'nkimoe[viz]'" in result.output


def test_what_if_predicts_each_change_and_all_together(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    result = run_tiny("--what-if", "hbm=0.1,dma_latency=3", "--json", str(target))
    assert result.exit_code == 0, result.output
    document = json.loads(target.read_text())
    assert list(document["what_if_us"]) == ["hbm x 0.1", "dma_latency x 3", "all of these"]
    assert all(us > document["predicted"]["latency_us"] for us in document["what_if_us"].values())
    assert all(name in result.output for name in document["what_if_us"])


def test_shapes_only_predicts_the_same_time_and_compares_nothing(tmp_path: Path) -> None:
    documents = {}
    for name, options in (("full", ()), ("shapes", ("--no-numerics",))):
        target = tmp_path / f"{name}.json"
        result = run_tiny("--json", str(target), *options)
        assert result.exit_code == 0, result.output
        documents[name] = json.loads(target.read_text())
    assert documents["shapes"]["predicted"] == documents["full"]["predicted"]
    assert documents["shapes"]["correct"] == {
        "rel_l2": None, "rel_l2_unquantised": None, "max_abs": None, "passed": None,
        "tolerance": documents["full"]["correct"]["tolerance"],
    }  # fmt: skip


def test_demo_leaves_its_files_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "qwen3-30b-a3b", TINY)
    folder = tmp_path / "new" / "demo"
    result = nkimoe("demo", "--out", str(folder))
    assert result.exit_code == 0, result.output
    drawn = {"report.html", "timeline.png", "roofline.png"}
    assert {path.name for path in folder.iterdir()} == {"result.json", "trace.json", *drawn}


def test_demo_without_matplotlib_says_so_and_does_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "qwen3-30b-a3b", TINY)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = nkimoe("demo", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert "no pictures and no page: " in result.output
    assert "pip install 'nkimoe[viz]'" in result.output
    assert {path.name for path in tmp_path.iterdir()} == {"result.json", "trace.json"}


def test_demo_refuses_a_folder_it_cannot_make(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = nkimoe("demo", "--out", str(tmp_path / "file"))
    assert result.exit_code == 2
    assert "file" in result.output


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

    monkeypatch.setattr("nkisim.report.files.os.replace", full_disk)
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


def test_no_line_of_the_variants_or_their_matrix_is_cut_or_wider_than_needed() -> None:
    table = nkimoe("variants").output.splitlines()
    matrix, narrow = nkimoe("variants", "--matrix").output.splitlines(), as_text(80).splitlines()
    assert max(map(len, matrix)) <= 120
    assert max(map(len, table + narrow)) <= 80
    assert all(line == line.rstrip() for line in table + matrix)


def test_the_matrix_of_the_terminal_says_what_the_page_says() -> None:
    text, page = nkimoe("variants", "--matrix").output, nkimoe("variants", "--matrix", "--markdown").output
    features = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")]
    rows = {name: next(line for line in text.splitlines() if line.startswith(name)) for name in features[2:]}
    of_page = {line.split("|")[1].strip(): line.count("| yes") for line in page.splitlines() if line.startswith("| ")}
    assert all(row[len(name) :].count("yes") == of_page[name] for name, row in rows.items())


def test_markdown_without_the_matrix_is_refused() -> None:
    assert nkimoe("variants", "--markdown").exit_code == 2


def test_a_path_with_brackets_is_printed_as_it_is(tmp_path: Path) -> None:
    target = tmp_path / "a[b]" / "x[1].json"
    target.parent.mkdir()
    result = run_tiny("--no-numerics", "--json", str(target))
    assert f"wrote {target}\n" in result.output
    assert all(line == line.rstrip() for line in result.stdout.splitlines())


def test_a_tiny_layer_has_a_roofline_that_is_not_zero() -> None:
    result = nkimoe("run", "--model", "olmoe-1b-7b", "--tp", "32", "--tokens", "1", "--no-numerics")
    assert "roofline       0 us" not in result.output
    assert "roofline       0." in result.output


def test_the_command_says_its_version() -> None:
    assert nkimoe("--version").output.startswith("nkimoe, version ")


@pytest.mark.parametrize("command", [["run"], ["demo"], ["variants"], ["explain"], ["pack"], ["tune"],
                                     *(["op", name] for name in OPERATIONS)], ids=" ".join)  # fmt: skip
def test_the_help_of_every_command_ends_with_examples(command: list[str]) -> None:
    text = nkimoe(*command, "--help").output
    assert f"nkimoe {' '.join(command)}" in text.partition("Examples:\n")[2]


@pytest.mark.parametrize(
    ("option", "given", "meant"),
    [("--model", "qwen3-30b", "qwen3-30b-a3b"), ("--variant", "shard_on_blok", "shard_on_block"),
     ("--weights", "fp8row", "fp8-row"), ("--slots", "pair", "pairs")],
)  # fmt: skip
def test_a_name_that_does_not_exist_is_answered_with_what_was_meant(option: str, given: str, meant: str) -> None:
    assert f"Did you mean {meant}" in nkimoe("explain", option, given).output


def test_the_matrix_is_the_page_in_the_documentation() -> None:
    printed = nkimoe("variants", "--matrix", "--markdown").output.strip()
    page = (Path(__file__).parents[3] / "docs" / "variants.md").read_text(encoding="utf-8")
    assert printed in page, "run `nkimoe variants --matrix --markdown` and replace the table of docs/variants.md"
    assert all(name in printed for name in ("shard_on_block", "shard_on_i_dropping", "conditions", "HI_LO"))


def test_explain_prints_the_plan_that_run_would_use() -> None:
    output = nkimoe("explain", "--model", "qwen3-30b-a3b", "--tp", "4", "--tokens", "640").output
    assert "T=640 H=2048 I=192 E=128 B=64 N=206" in output
    assert "weights resident" in output


def test_request_errors_carry_argument_rule_and_value() -> None:
    error = RequestError("block_size", "is a multiple of 128", "100", "Use 128.")
    assert str(error) == "block_size: is a multiple of 128; got 100. Use 128."


def test_run_compares_the_result_of_a_variant_that_returns_checkpoints_behind_it() -> None:
    result = run_tiny("--variant", "shard_on_i_dropping", "--block-size", "512")
    assert result.exit_code == 0, result.output
    assert "passed" in result.output
