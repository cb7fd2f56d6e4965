"""Benchmarks under aiter's names: its schema and formulas, our counts beside them, and none of its mistakes."""

import csv
import json

import pytest
from bench_ops import SCHEMA, main
from click.testing import CliRunner, Result
from ops.gemm import GemmBench, peer_work
from ops.layers import BenchLayer, layers
from ops.outcome import OURS, Device
from ops.whole_layer import LayerBench

from nkimoe import RequestError
from nkimoe.models import MODELS
from nkimoe.tuning.shaped_gemm import Routed
from nkisim.timing import CLOCK

TRN2 = Device("trn2", 2)
LAYER = BenchLayer("small", 512, 256, 4, 2)
THEIRS = {"mixtral": {"7B": {"hidden_size": 256, "intermediate_size": 512, "num_expert": 4, "top_k": 2}}, "llama3": {}}


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models.json").write_text(json.dumps(THEIRS))
    return "-model_configs", "models.json"


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def requests(M=64, layer=LAYER, **options):
    return [row.find.args[0] for row in GemmBench(TRN2, **options).rows(layer, M)]


@pytest.mark.parametrize("name", SCHEMA)
def test_the_columns_are_those_of_aiters_schema_then_ours(models, name):
    done = bench(name, *models, "-M", 64, "-o", "--json", "all.json", "-dtype", "bf16")
    assert done.exit_code == 0, done.output
    assert "predicted, not measured; 2 trn2 core(s)" in done.stdout
    inputs, outputs = SCHEMA[name]
    with open(f"bench_{name}.csv", newline="") as file:
        rows = [*csv.DictReader(file)]
    assert tuple(rows[0]) == (*inputs, *outputs, *OURS, "nkimoe", "clock", "command")
    assert {row["clock"] for row in rows} == {CLOCK}
    with open("all.json") as file:
        found = json.load(file)
    assert found["made_by"]["clock"] == CLOCK
    assert found["time"] == "predicted, not measured"
    for row in found["benches"][name]:
        assert row["Predicted_low_(ms)"] <= row["Time_(ms)"] <= row["Predicted_high_(ms)"]
        assert 0 < row["Of_roofline"] < 1


def test_the_table_has_a_row_for_each_stage_of_each_model(models):
    assert [layer.model for layer in layers("all", None)] == list(MODELS)
    done = bench(*models, "-M", 64, "-print_time")
    heading, *rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert heading == ["model", "M", "N", "K", "E", "top_k", "Time_(ms)"]
    assert [row[:6] for row in rows] == [
        ["mixtral-7B", "64", *sizes, "4", "2"] for sizes in (["512", "256"], ["256"] * 2)
    ]


@pytest.mark.parametrize("more", [(), ("-silu_fused",)])
def test_the_second_stage_is_left_out_when_told(models, more):
    assert len(bench(*models, "-M", 64, "-no_bench_stage2", *more).stdout.splitlines()) == 3


def test_silu_belongs_to_the_first_stage():
    assert [request.epilogue for request in requests(silu=True)] == ["silu", "none"]


def test_the_type_that_is_asked_for_is_the_one_that_runs():
    for dtype, name in (("fp16", "float16"), ("bf16", "bfloat16")):
        (gemm,) = [GemmBench(TRN2, dtype=dtype).shaped(each) for each in requests(dtype=dtype, stage2=False)]
        assert (str(gemm.a.dtype), gemm.types.q_dtype_w) == (name, name)


def test_operations_and_bytes_by_aiters_formulas():
    M, N, K, E, k = 64, 512, 256, 4, 2
    plain = peer_work(requests(stage2=False)[0])
    assert (plain.flops, plain.nbytes) == (2 * M * k * N * K, 2 * (M * K + E * N * K + M * k * N))
    silu = peer_work(requests(stage2=False, silu=True, routed_weight=True)[0])
    assert silu.flops - plain.flops == 2 * M * k * N
    assert plain.nbytes - silu.nbytes == M * k * N
    int8 = peer_work(requests(stage2=False, quantization="int8_w8a16")[0])
    assert plain.nbytes - int8.nbytes == E * N * K
    fp8 = peer_work(requests(stage2=False, quantization="fp8_w8a8")[0])
    assert plain.nbytes - fp8.nbytes == E * N * K + M * K
    assert peer_work(requests(M=1, stage2=False)[0]).nbytes == 2 * (K + 2 * N * K + k * N)  # two experts are enough


def test_our_bytes_count_int4_as_half_a_byte_with_scales_zeros_and_ids():
    (request,) = requests(stage2=False, quantization="int4_w4a16", group_size=32, has_zeros=True)
    M, N, K, E, k = 64, 512, 256, 4, 2
    weights = E * N * (K // 2 + K // 32 * 4.5)
    assert request.useful_bytes == weights + 2 * (M * K + M * k * N) + 4 * M * k


@pytest.mark.parametrize("bench", [GemmBench(TRN2, stage2=False), LayerBench(TRN2)], ids=["moe", "moe_e2e"])
def test_our_bytes_are_those_of_experts_that_have_tokens(bench):
    M, E, k = 8, 24, 2
    (row,) = bench.rows(BenchLayer("small", 256, 128, E, k), M)
    outcome, matrices = row.find(), 256 * 128 if isinstance(bench, GemmBench) else 3 * 128 * 128
    used = Routed.evenly(M, k, E).used
    assert used < min(E, M * k)
    rows = 2 * (M * 128 + (M * k * 256 if isinstance(bench, GemmBench) else M * 128))
    ids_and_weights = 4 * M * k * (1 if isinstance(bench, GemmBench) else 2)
    assert outcome.useful.nbytes == 2 * used * matrices + rows + ids_and_weights


@pytest.mark.parametrize(
    "options",
    [("-int8_w8a16",), ("-int8_w8a8",), ("-fp8_w8a8",), ("-int4_w4a16", "-group_size", 32, "-has_zp"),
     ("-silu_fused", "-routed_weight")],
    ids=lambda each: "".join(map(str, each)),
)  # fmt: skip
def test_every_option_runs(models, options):
    done = bench(*models, "-M", 16, *options)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-int8_w8a16", "-fp8_w8a8"), "-fp8_w8a8: comes alone; got int8_w8a16, fp8_w8a8"),
        (("-int4_w4a16",), "-group_size: comes with -int4_w4a16; got None"),
        (("-has_zp",), "-has_zp: comes with -int4_w4a16; got unquant"),
        (("--model", "gpt-5"), "--model: is all or of mixtral-7B; got gpt-5"),
        (("-fp8_w8a8", "-fp8_type", "e4m3fn"), "b: is float8_e4m3, float8_e5m2 on trn2; got float8_e4m3fn"),
        (("-dtype", "fp32"), "'fp32' is not one of 'fp16', 'bf16'"),
    ],
)
def test_what_cannot_be_run_is_refused(models, options, said):
    done = bench(*models, "-M", 16, *options)
    assert done.exit_code == 2
    assert said in done.output


def test_a_file_without_layers_of_experts_is_refused(tmp_path):
    (tmp_path / "models.json").write_text('{"llama3": {"8B": {"hidden_size": 4096}}}')
    with pytest.raises(RequestError, match="-model_configs: has models with hidden_size"):
        layers("all", tmp_path / "models.json")
