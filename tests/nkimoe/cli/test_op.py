"""`nkimoe op`: the peers' options, line, keys and exit statuses, with a time that says that it is predicted."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from nkimoe import ops
from nkimoe.cli.main import main
from nkimoe.cli.op import smoothquants
from nkimoe.cli.op.fused_moe import FusedMoeSmoothquant
from nkimoe.cli.op.grouped_gemm import FusedMoeGemm
from nkimoe.cli.op.inputs import SEED
from nkimoe.cli.op.int8_quantisers import PerChannelInt8, PerTokenInt8
from nkimoe.cli.op.sglang_experts import RoutedExperts, SharedExpert
from nkimoe.cli.op.sigmoid_top1 import RoutingSigmoidTop1
from nkimoe.cli.op.smoothquants import MoeSmoothquant, Smoothquant
from nkimoe.cli.op.sorting import MoeAlignBlockSize, MoeSorting
from nkimoe.cli.op.table import OPERATIONS
from nkimoe.cli.op.topk_softmax import TopkSoftmax
from nkimoe.cli.op.two_stage_moe import E2eMoe
from nkimoe.ops.gemm_quantisation import MX, QUANTISATIONS
from nkisim.timing import CLOCK

SMALL = {  # keys of the peers' programs, and the start of the line
    "moe_smoothquant": (
        ("-t=22", "-h=255", "-stride=256"),
        "[fp16-int8] tokens:22, hidden_size:255, stride:256, experts:32, topk:5, ",
    ),
    "smoothquant": (
        ("-m=99", "-n=13", "-prec=bf16", "-y_stride=16"), "[bf16] m:99, n:13, x_stride:13, y_stride:16, ",
    ),
    "quantize_per_token_int8": (("-t=17", "-h=16"), "[bf16] tokens:17, hidden_size:16, stride:16, "),
    "quantize_per_channel_int8": (("-e=3", "-n=5", "-k=70"), "[bf16] experts:3, n:5, k:70, "),
    "downcast_to_static_fp8": (("-m=33", "-n=70", "-prec=fp16"), "[fp16] m:33, n:70, "),
    "topk_softmax": (
        ("-t=127", "-e=99", "-k=19", "-st_i=233", "-st_o=31"),
        "[fp16|fp32]tokens:127, experts:99, topk:19, st_i:233, st_o:31, ms:0.0",
    ),
    "moe_sorting": (("-t=80", "-e=17", "-k=4"), "[int32|fp32]tokens:80, experts:17, topk:4,  ms:0.0"),
    "moe_align_block_size": (
        ("-t=16", "-e=8", "-k=4", "-unit=16"), "[int32] tokens:16, experts:8, topk:4, block_size:16, ",
    ),
    "fused_experts": (
        ("-t=39", "-e=8", "-k=3", "-h=256", "-i=128"),
        "[bf16-int8] tokens:39, experts:8, topk:3, hidden_size:256, intermediate_size:128, ",
    ),
    "shared_expert": (
        ("-t=121", "-h=64", "-i=32"), "[bf16-int8] tokens:121, hidden_size:64, intermediate_size:32, factor:16, ",
    ),
    "fused_moe_smoothquant": (
        ("-t=40", "-e=8", "-k=5", "-h=200", "-i=256", "-tp=2", "-stride=256", "-act=1", "-gate_only=0"),
        "[fmoe|bf16xint8(fp32|fp32|fp32)] t:40, e:8, k:5, st:256, hidden:200, interm:256, tp:2, act:1, g1u1, q:1, ",
    ),
    "routing_sigmoid_top1": (("-m=131", "-n=16", "-k=70", "-prec=fp16"), "[fp16] m:131, n:16, k:70, "),
    "fused_moe_gemm": (
        ("-m=9", "-n=64", "-k=128", "-e=4", "-topk=2", "-epilogue=silu"),
        "[bf16|unquant|silu] M:9, N:64, K:128, E:4, top_k:2, ",
    ),
    "e2e_moe": (
        ("-token=9", "-model_dim=128", "-inter_dim=50", "-expert=4", "-topk=2"),
        "[bf16] token:9, model_dim:128, inter_dim:50, expert:4, topk:2, ",
    ),
    "fused_moe": (
        ("-token=9", "-model_dim=100", "-inter_dim=50", "-expert=4", "-topk=2", "-act_type=gelu", "-dtype=fp16"),
        "[fp16] token:9, model_dim:100, inter_dim:50, expert:4, topk:2, act_type:gelu, doweight_stage1:0, ",
    ),
}  # fmt: skip
PEER_KEYS = {
    "moe_smoothquant": ["prec_i", "prec_o", "tokens", "hidden_size", "stride", "experts", "topk"],
    "smoothquant": ["prec", "m", "n", "x_stride", "y_stride"],
    "quantize_per_token_int8": ["prec", "tokens", "hidden_size", "stride"],
    "quantize_per_channel_int8": ["prec", "experts", "n", "k"],
    "downcast_to_static_fp8": ["prec", "m", "n"],
    "topk_softmax": ["input_prec", "weight_prec", "tokens", "experts", "topk", "stride_input", "stride_output"],
    "moe_sorting": [
        "index_prec", "weight_prec", "workspace_size", "dispatch_policy", "tokens", "num_experts", "topk",
    ],
    "moe_align_block_size": ["index_prec", "tokens", "num_experts", "topk", "block_size"],
    "fused_experts": ["prec", "quantization", "tokens", "experts", "topk", "hidden_size", "intermediate_size"],
    "shared_expert": [
        "prec", "quantization", "tokens", "hidden_size", "intermediate_size", "routed_scaling_factor",
    ],
    "fused_moe_smoothquant": [
        "api", "prec", "tokens", "experts", "topk", "hidden_size", "intermediate_size", "stride", "block_m",
        "activation", "gate_only", "fused_quant",
    ],
    "routing_sigmoid_top1": ["prec", "m", "n", "k"],
    "fused_moe_gemm": ["prec", "quantization", "epilogue", "M", "N", "K", "E", "top_k"],
    "e2e_moe": ["dtype", "token", "model_dim", "inter_dim", "expert", "topk"],
    "fused_moe": ["dtype", "token", "model_dim", "inter_dim", "expert", "topk", "act_type", "doweight_stage1"],
}  # fmt: skip
OUR_KEYS = [
    "schema_version", "made_by", "toolchain", "target", "lnc", "options", "correct", "predicted", "nbytes",
    "gb_per_sec", "useful_nbytes", "useful_gb_per_sec", "findings", "wall_s",
]  # fmt: skip
TINY = ("-t=4", "-h=16")


def nkimoe_op(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["op", *arguments])


def document_of(tmp_path: Path, *arguments: str) -> dict:
    target = tmp_path / "out.json"
    result = nkimoe_op(*arguments, "--json", str(target))
    assert result.exit_code == 0, result.output
    assert list(tmp_path.iterdir()) == [target]
    return json.loads(target.read_text())


def test_every_operation_is_a_command() -> None:
    assert OPERATIONS.keys() == set(ops.__all__) == SMALL.keys() == PEER_KEYS.keys()
    listed = nkimoe_op("--help").output
    assert [name for name in OPERATIONS if name not in listed] == []


@pytest.mark.parametrize("name", SMALL)
def test_an_operation_prints_the_line_of_its_peer_and_that_its_time_is_predicted(name: str) -> None:
    keys, start = SMALL[name]
    result = nkimoe_op(name, *keys)
    assert result.exit_code == 0, result.output
    line, remark = result.output.splitlines()
    assert line.startswith(start)
    assert line.endswith(", valid:y")
    assert remark.startswith("predicted, not measured: ")
    assert " us (" in remark
    assert remark.endswith(f"toolchain simulate, clock {CLOCK}")


@pytest.mark.parametrize("name", SMALL)
def test_the_json_has_the_keys_of_the_peer_in_their_order_and_then_ours(name: str, tmp_path: Path) -> None:
    document = document_of(tmp_path, name, *SMALL[name][0])
    assert list(document) == ["name", *PEER_KEYS[name], "verification", "perf", *OUR_KEYS]
    assert (document["name"], document["verification"], document["schema_version"]) == (name, "pass", 1)
    ((perf,), predicted) = document["perf"], document["predicted"]
    assert list(perf) == ["time", "tflops", "gbytes"]
    assert perf["time"] == predicted["latency_us"] / 1e3
    assert perf["gbytes"] == document["gb_per_sec"]
    assert document["gb_per_sec"] == pytest.approx(document["nbytes"] / predicted["latency_us"] / 1e3)
    assert document["useful_gb_per_sec"] == pytest.approx(document["useful_nbytes"] / predicted["latency_us"] / 1e3)
    assert predicted["fraction_of_roofline"] == pytest.approx(predicted["roofline_us"] / predicted["latency_us"])
    assert 0 < predicted["fraction_of_roofline"] < 1
    assert predicted["interval_us"][0] <= predicted["latency_us"] <= predicted["interval_us"][1]
    assert document["correct"]
    assert all(each["found"] <= each["allowed"] for each in document["correct"].values())
    assert document["made_by"]["seed"] == SEED
    assert document["toolchain"] == "simulate"
    assert document["findings"] == []


def test_the_prediction_has_the_keys_of_that_of_a_layer(tmp_path: Path) -> None:
    document = document_of(tmp_path, "topk_softmax")
    target = tmp_path / "layer.json"
    layer = ("run", "--model", "olmoe-1b-7b", "--tp", "32", "--tokens", "2", "--lnc", "1", "--no-numerics")
    assert CliRunner().invoke(main, [*layer, "--json", str(target)]).exit_code == 0
    assert list(document["predicted"]) == list(json.loads(target.read_text())["predicted"])


@pytest.mark.parametrize("name", SMALL)
def test_without_numerics_nothing_is_compared_and_the_time_is_the_same(name: str, tmp_path: Path) -> None:
    full = document_of(tmp_path, name, *SMALL[name][0])
    for flag in ("-v=0", "--no-numerics"):
        unchecked = document_of(tmp_path, name, *SMALL[name][0], flag)
        assert (unchecked["verification"], unchecked["correct"]) == ("skipped", {})
        assert unchecked["predicted"] == full["predicted"]
    assert nkimoe_op(name, *SMALL[name][0], "-v=0").output.splitlines()[0].endswith(", valid:skipped")


def test_defaults_are_those_of_the_peers() -> None:
    assert MoeSmoothquant().heading() == "[fp16-int8] tokens:3328, hidden_size:4096, stride:4096, experts:32, topk:5"
    assert Smoothquant().heading() == "[fp16] m:3328, n:4096, x_stride:4096, y_stride:4096"
    assert TopkSoftmax().heading() == "[fp16|fp32]tokens:32, experts:8, topk:2, st_i:8, st_o:2"
    assert MoeSorting().heading() == "[int32|fp32]tokens:128, experts:8, topk:4"
    assert (MoeSorting().block_size, MoeSorting().packed) == (32, True)
    assert FusedMoeSmoothquant().heading() == (
        "[fmoe|bf16xint8(fp32|fp32|fp32)] t:128, e:32, k:5, hidden:8192, interm:8192, tp:8, act:0, g1u0, q:1"
    )


@pytest.mark.parametrize(
    ("name", "ours", "theirs"),
    [
        (
            "moe_smoothquant",
            ("--tokens", "4", "--hidden", "16", "--experts", "7", "--topk", "3", "--in", "bf16", "--out", "fp8",
             "--stride", "20", "--seed", "3"),
            ("-t=4", "-h=16", "-e=7", "-k=3", "-prec_i=bf16", "-prec_o=fp8", "-stride=20", "-seed=3", "-v=1"),
        ),
        (
            "moe_sorting",
            ("--tokens", "13", "--experts", "64", "--topk", "3", "--block-size", "8", "--local-experts", "4,5,9",
             "--local-tokens", "9"),
            ("-t=13", "-e=64", "-k=3", "-unit=8", "-local_eid=4,5,9", "-local_t=9", "-pr_i=int32", "-pr_w=fp32"),
        ),
        (
            "topk_softmax",
            ("--tokens", "9", "--in-stride", "12", "--out-stride", "5", "--in", "bf16"),
            ("-t=9", "-st_i=12", "-st_o=5", "-pr_i=bf16", "-pr_w=fp32", "-seed=-1"),
        ),
        ("smoothquant", ("--tokens", "3", "--hidden", "9", "--x-stride", "11"), ("-m=3", "-n=9", "-x_stride=11")),
        (
            "fused_moe_smoothquant",
            ("--tokens", "9", "--experts", "4", "--topk", "2", "--hidden", "40", "--intermediate", "60", "--tp", "3",
             "--stride", "48", "--block-size", "128", "--activation", "silu", "--gate-only", "0", "--balance", "1",
             "--in", "fp16"),
            ("-t=9", "-e=4", "-k=2", "-h=40", "-i=60", "-tp=3", "-stride=48", "-bm=128", "-act=1", "-gate_only=0",
             "-balance=1", "-prec_i=fp16", "-prec_w=int8", "-fquant=1", "-api=0", "-init=1", "-local_t=-1"),
        ),
        (
            "fused_experts",
            ("--tokens", "9", "--experts", "4", "--topk", "2", "--hidden", "40", "--intermediate", "8", "--in", "fp16"),
            ("-t=9", "-e=4", "-k=2", "-h=40", "-i=8", "-prec=fp16"),
        ),
        ("shared_expert", ("--tokens", "9", "--hidden", "40", "--intermediate", "30"), ("-t=9", "-h=40", "-i=30")),
    ],
)  # fmt: skip
def test_keys_of_the_peers_mean_what_our_options_do(
    name: str, ours: tuple[str, ...], theirs: tuple[str, ...], tmp_path: Path
) -> None:
    documents = [document_of(tmp_path, name, *arguments) for arguments in (ours, theirs)]
    for document in documents:
        del document["wall_s"]
    assert documents[0] == documents[1]


def test_minus_one_is_the_default_of_a_stride_and_of_the_local_options() -> None:
    given = nkimoe_op("moe_sorting", "-t=9", "-local_eid=-1", "-local_t=-1", "-seed=-1")
    assert given.exit_code == 0
    assert given.output == nkimoe_op("moe_sorting", "-t=9").output
    assert nkimoe_op("moe_smoothquant", *TINY, "-stride=-1").output == nkimoe_op("moe_smoothquant", *TINY).output


def test_a_hidden_size_is_not_a_call_for_help() -> None:
    assert "hidden_size:24" in nkimoe_op("moe_smoothquant", "-t=4", "-h=24").output
    for flag in ("-h", "--help"):
        helped = nkimoe_op("moe_smoothquant", flag)
        assert helped.exit_code == 0
        assert helped.output.startswith("Usage: ")


def test_keys_without_effect_are_accepted_and_named() -> None:
    plain = nkimoe_op("moe_smoothquant", *TINY)
    ignored = nkimoe_op("moe_smoothquant", *TINY, "-warmup=5", "-kname=1", "-repeat=20")
    assert ignored.exit_code == 0
    assert ignored.stderr == "without effect here: warmup, kname, repeat\n"
    assert ignored.stdout == plain.stdout
    assert plain.stderr == ""


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        (("moe_smoothquant", "-e=32"), ("moe_smoothquant", "-experts=32"), "-experts=32: moe_smoothquant has no such"),
        (("topk_softmax", "-st_i=8"), ("topk_softmax", "-stride=8"), "it has -t, -e, -k, -st_i, -st_o"),
        (("topk_softmax", "-pr_w=fp32"), ("topk_softmax", "-pr_w=fp16"), "has only -pr_w=fp32"),
        (("moe_sorting", "-moe_buf_interm_dim=0"), ("moe_sorting", "-moe_buf_interm_dim=8"), "-moe_buf_interm_dim=0"),
        (("moe_sorting", "-local_eid=1,2"), ("moe_sorting", "-local_eid=2,1"), "local_experts: is a list of experts"),
        (("moe_sorting", "-local_eid=1,2"), ("moe_sorting", "-local_eid=1-2"), "'1-2' is not a list like 4,5,6"),
        (("moe_sorting", "-local_t=128"), ("moe_sorting", "-local_t=129"), "local_tokens: is in 0..T = 0..128"),
        (("moe_sorting", "-k=8"), ("moe_sorting", "-k=9"), "topk: is at most experts = 8; got 9"),
        (("moe_smoothquant", "-t=1"), ("moe_smoothquant", "-t=0"), "'--tokens': 0 is not in the range"),
        (("moe_smoothquant", "-t=1"), ("moe_smoothquant", "-t=one"), "'--tokens'"),
        (("moe_smoothquant", "-v=1"), ("moe_smoothquant", "-v=yes"), "-v=yes: is not an integer"),
        (("moe_smoothquant", "-stride=16"), ("moe_smoothquant", "-stride=15"), "stride: is 16 or more, or -1; got 15"),
        (("smoothquant", "-x_stride=16"), ("smoothquant", "-x_stride=15"), "x_stride: is 16 or more"),
        (("smoothquant", "-y_stride=16"), ("smoothquant", "-y_stride=15"), "out_stride: is an integer, H = 16 or more"),
        (("topk_softmax", "-st_o=2"), ("topk_softmax", "-st_o=1"), "out_stride: is top_k = 2 or more; got 1"),
        (("fused_experts", "-k=8"), ("fused_experts", "-k=9"), "topk: is at most experts = 8; got 9"),
        (("fused_experts", "-prec=fp16"), ("fused_experts", "-prec=fp32"), "'fp32' is not one of"),
        (("shared_expert", "--factor", "2"), ("shared_expert", "--factor", "inf"), "routed_scaling_factor: is a"),
        (("fused_moe_smoothquant", "-fquant=1"), ("fused_moe_smoothquant", "-fquant=0"), "has only -fquant=1"),
        (("fused_moe_smoothquant", "-tp=2"), ("fused_moe_smoothquant", "-tp=3"), "tp: divides i = 32; got 3"),
        (("fused_moe_smoothquant", "-act=1"), ("fused_moe_smoothquant", "-act=2"), "'2' is not one of"),
        (("fused_moe_smoothquant", "-prec_o=bf16"), ("fused_moe_smoothquant", "-prec_o=fp16"), "out: is bf16, as x"),
        (("fused_moe_smoothquant", "-bm=64"), ("fused_moe_smoothquant", "-bm=0"), "block_size: is a positive int"),
        (("fused_moe_smoothquant", "-stride=16"), ("fused_moe_smoothquant", "-stride=15"), "stride: is 16 or more"),
        (("moe_smoothquant", "-prec_o=fp8"), ("moe_smoothquant", "-prec_o=fp4"), "'fp4' is not one of"),
        (("moe_smoothquant", "--rounding", "trunc"), ("moe_smoothquant", "-prec_o=fp8", "--rounding", "trunc"),
         "rounding: is rne for fp8 codes"),
        (("moe_smoothquant", "--order", "token_major"), ("moe_smoothquant", "--order", "k"), "'k' is not one of"),
        (("topk_softmax",), ("topk_hardmax",), "No such command 'topk_hardmax'"),
        (("topk_softmax", "--target", "trn3"), ("topk_softmax", "--target", "trn1"), "'trn1' is not one of"),
        (("topk_softmax", "--lnc", "1"), ("topk_softmax", "--lnc", "4"), "'4' is not one of"),
        (("topk_softmax", "--seed", "0"), ("topk_softmax", "--seed", "-2"), "-2 is not in the range"),
        (("topk_softmax",), ("topk_softmax", "--json", "missing/folder/out.json"), "--json missing/folder/out.json"),
    ],
    ids=lambda each: each if isinstance(each, str) else " ".join(each),
)  # fmt: skip
def test_what_an_operation_cannot_do_is_refused_with_status_2(
    good: tuple[str, ...], bad: tuple[str, ...], said: str
) -> None:
    small = {
        "moe_smoothquant": TINY,
        "smoothquant": ("-m=4", "-n=16"),
        "fused_experts": (*TINY, "-i=16"),
        "fused_moe_smoothquant": (*TINY, "-e=5", "-i=32"),
    }
    accepted = nkimoe_op(good[0], *small.get(good[0], ()), *good[1:])
    assert accepted.exit_code == 0, accepted.output
    refused = nkimoe_op(bad[0], *small.get(bad[0], ()), *bad[1:])
    assert refused.exit_code == 2
    assert "Error: " in refused.output
    assert said in " ".join(refused.output.split())


def test_a_wrong_scale_alone_ends_in_status_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    right = smoothquants.moe_smoothquant_reference

    def off(**arguments: object) -> tuple[np.ndarray, np.ndarray]:
        codes, scale = right(**arguments)
        return codes, scale * np.float32(1 + 2e-6)

    monkeypatch.setattr(smoothquants, "moe_smoothquant_reference", off)
    result = nkimoe_op("moe_smoothquant", *TINY, "--json", str(tmp_path / "out.json"))
    assert result.exit_code == 1
    line, _, wrong, _ = result.output.splitlines()
    assert line.endswith(", valid:n")
    assert wrong.startswith("wrong: ulps of scales: ")
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["verification"] == "fail"
    assert [name for name, each in document["correct"].items() if each["found"] > each["allowed"]] == ["ulps_of_scales"]


def test_results_are_written_where_the_keys_of_the_peer_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for keys, files in (
        (("-json=0", "-jsonfile=no.json"), []),
        (("-jsonfile=no.json",), []),
        (("-json=1",), ["topk_softmax.json"]),
        (("-json=1", "-jsonfile=my.json"), ["my.json", "topk_softmax.json"]),
    ):
        assert nkimoe_op("topk_softmax", *keys).exit_code == 0
        assert sorted(path.name for path in tmp_path.iterdir()) == files


def test_bytes_are_counted_as_the_peer_does_and_as_they_move() -> None:
    T, H, E, k = 3328, 4096, 32, 5
    request = MoeSmoothquant()
    assert request.peer_bytes == 2 * T * H + 4 * k * H + 4 * k * T + k * T * H
    assert request.useful_bytes == 2 * T * H + 4 * E * H + 2 * 4 * k * T + k * T * H
    assert MoeSmoothquant(tokens=2, experts=100, topk=3).useful_bytes == 2 * 2 * H + 4 * 6 * H + 2 * 4 * 6 + 6 * H
    assert Smoothquant(x_dtype="fp32").peer_bytes == 4 * T * H + 4 * H + 4 * T + T * H
    assert PerTokenInt8(tokens=3, hidden=10).useful_bytes == 2 * 30 + 30 + 4 * 3
    assert PerChannelInt8(experts=2, channels=3, hidden=10).useful_bytes == 2 * 60 + 60 + 4 * 6
    assert TopkSoftmax(tokens=3, experts=10, topk=2).useful_bytes == 2 * 30 + 8 * 6
    rows = 3 * 2 + 5 * 4 - 2
    assert rows == 24  # six blocks
    sorting = MoeSorting(tokens=3, experts=5, topk=2, block_size=4)
    assert sorting.useful_bytes == 8 * 6 + 8 * 24 + 4 * 6 + 4
    assert MoeAlignBlockSize(tokens=1, experts=2, topk=1, block_size=16).useful_bytes == 4 + 4 * 16 + 4 + 4
    top1 = RoutingSigmoidTop1(tokens=3, experts=5, hidden=10, fused_shared_experts=True)
    assert top1.useful_bytes == 2 * 10 * (3 + 5) + 8 * 2 * 3
    M, N, K = 3, 64, 128
    gemm = FusedMoeGemm(tokens=M, columns=N, hidden=K, epilogue="silu")
    assert gemm.peer_bytes == 2 * M * K + 2 * 6 * N * K + 2 * 2 * M * N // 2
    assert gemm.useful_bytes == gemm.peer_bytes + 8 * 2 * M
    assert gemm.useful_flops == 2 * 2 * M * N * K
    e2e = E2eMoe(tokens=M, hidden=100, intermediate=50)
    assert e2e.useful_bytes == 2 * (6 * 3 * 50 * 100 + 2 * M * 100) + 8 * 2 * M
    assert e2e.useful_flops == 2 * 2 * M * 3 * 50 * 100
    int4 = FusedMoeGemm(tokens=M, columns=N, hidden=K, quantization="int4_w4a16", has_zeros=True, routed_weight=False)
    assert int4.peer_bytes == 2 * M * K + 6 * N * K // 2 + 2 * 2 * M * N
    assert int4.useful_bytes == int4.peer_bytes + 6 * (4 * N * 2 + N // 2 * 2) + 4 * 2 * M


def test_bytes_and_operations_of_experts_are_counted_likewise() -> None:
    T, E, k, H, I = 40, 8, 5, 200, 128
    request = FusedMoeSmoothquant(tokens=T, experts=E, topk=k, hidden=H, intermediate=2 * I, tp=2, gate_only=0)
    pairs, columns = T * k, 2 * I + I
    assert request.useful_flops == 2 * pairs * columns * H
    assert request.peer_bytes == columns * E * H + 2 * 2 * pairs * H // E + 4 * pairs
    of_expert = columns * H + 4 * (2 * I + H) + 4 * (H + I)
    assert request.useful_bytes == E * of_expert + 2 * 2 * T * H + 8 * pairs
    assert FusedMoeSmoothquant(tokens=T, hidden=H, intermediate=I, tp=1).useful_flops == 4 * pairs * I * H
    routed = RoutedExperts(tokens=2, experts=100, topk=3, hidden=H, intermediate=I)
    assert routed.useful_bytes == 6 * (3 * I * H + 4 * (2 * I + H)) + 4 * 2 * H + 8 * 6
    assert routed.useful_flops == 6 * 6 * I * H
    shared = SharedExpert(tokens=T, hidden=H, intermediate=I)
    assert shared.useful_bytes == 3 * I * H + 4 * (2 * I + H) + 6 * T * H
    assert shared.useful_flops == 6 * T * I * H


def test_operations_a_second_are_said_where_matrices_are_multiplied(tmp_path: Path) -> None:
    keys = SMALL["fused_moe_smoothquant"][0]
    document = document_of(tmp_path, "fused_moe_smoothquant", *keys)
    (perf,) = document["perf"]
    assert perf["tflops"] == document["predicted"]["tflops"]
    assert perf["tflops"] == pytest.approx(2 * 40 * 5 * 3 * 128 * 200 / perf["time"] / 1e9)
    assert f"{perf['tflops']:.4g} tflops, {perf['gbytes'] / 1e3:.4g} TB/s" in nkimoe_op(document["name"], *keys).output
    assert document_of(tmp_path, "topk_softmax")["perf"][0]["tflops"] == 0


def test_balanced_ids_go_round_the_experts() -> None:
    ids = FusedMoeSmoothquant(tokens=4, experts=5, topk=3, hidden=2, intermediate=8, balance=1).arguments(
        np.random.default_rng(0)
    )["topk_ids"]
    assert ids.tolist() == [[0, 1, 2], [3, 4, 0], [1, 2, 3], [4, 0, 1]]


@pytest.mark.parametrize(
    "arguments",
    [
        *(("fused_moe_smoothquant", f"-act={act}", f"-gate_only={only}", "-t=40", "-h=70", "-i=96", "-e=6", "-tp=2")
          for act in (0, 1) for only in (0, 1)),
        ("fused_moe_smoothquant", "-prec_i=fp16", "-balance=1", "-bm=32", "-t=40", "-h=70", "-i=96", "-e=6"),
        ("fused_experts", "--no-round-each", "-prec=fp16", "-t=20"),
        ("shared_expert", "--factor", "1.5", "-prec=fp16", "--lnc", "1"),
        *((name, "--quantization", "unquant", f"-prec={prec}", "-t=40")
          for name in ("fused_experts", "shared_expert") for prec in ("bf16", "fp16")),
        ("fused_experts", "-quant=unquant", "--no-round-each", "-t=20"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_experts_are_right_with_their_options(arguments: tuple[str, ...]) -> None:
    result = nkimoe_op(*arguments)
    assert result.exit_code == 0, result.output
    assert ", valid:y" in result.output


def test_experts_in_16_bits_say_so_and_count_their_bytes(tmp_path: Path) -> None:
    sizes = ("-t=64", "-e=8", "-k=2", "-h=256", "-i=128")
    int8, plain = (document_of(tmp_path, "fused_experts", *sizes, f"-quant={q}") for q in ("int8_w8a8", "unquant"))
    assert (int8["quantization"], plain["quantization"]) == ("int8_w8a8", "unquant")
    codes, scales = 8 * 3 * 256 * 128, 8 * 4 * (2 * 128 + 256)
    assert plain["useful_nbytes"] - int8["useful_nbytes"] == codes - scales
    assert "[bf16-bf16] tokens:64" in nkimoe_op("fused_experts", *sizes, "-quant=unquant").output


def test_what_moves_at_least_does_move(tmp_path: Path) -> None:
    for name, (keys, _) in SMALL.items():
        document = document_of(tmp_path, name, *keys)
        moved = document["predicted"]["hbm_bytes"]
        assert moved["read"] + moved["written"] >= document["useful_nbytes"], name


def test_inputs_follow_from_the_seed_and_lie_in_the_ranges_of_the_peers_tests() -> None:
    request = MoeSmoothquant(tokens=50, hidden=40, experts=9, stride=64)
    first, again, other = (request.arguments(np.random.default_rng(seed)) for seed in (1, 1, 2))
    for name in ("x", "smooth_scale", "topk_ids"):
        np.testing.assert_array_equal(first[name], again[name])
        assert not np.array_equal(first[name], other[name])
    x, smooth, ids = (first[name] for name in ("x", "smooth_scale", "topk_ids"))
    assert (x.strides, first["out_stride"]) == ((128, 2), 64)
    assert -0.5 <= x.min() < -0.4 < 0.4 < x.max() <= 0.5
    assert 1e-3 <= smooth.min() < 0.05 < 0.45 < smooth.max() <= 0.5
    assert all(len(set(row)) == 5 for row in ids.tolist())
    logits = TopkSoftmax(tokens=5, experts=30).arguments(np.random.default_rng(0))["logits"]
    assert all(len(set(row)) == 30 for row in logits.tolist())
    assert np.abs(logits).max() <= 5


@pytest.mark.parametrize("quantization", QUANTISATIONS)
@pytest.mark.parametrize("epilogue", ["none", "gelu", "swiglu"])
def test_fused_moe_gemm_is_right_with_each_of_its_options(quantization: str, epilogue: str) -> None:
    keys = ("-m=9", "-n=64", "-k=128", f"-quant={quantization}", f"-epilogue={epilogue}", "--no-routed-weight")
    target = "trn3" if quantization in MX else "trn2"
    result = nkimoe_op("fused_moe_gemm", *keys, "--has-zeros", "--target", target)
    assert result.exit_code == 0, result.output
    assert ", valid:y" in result.output


@pytest.mark.parametrize("options", [("--rounding", "trunc"), ("--zero-row", "plus"), ("--order", "token_major"),
                                     ("--out", "fp8", "--target", "trn3"), ("--lnc", "1"), ("--in", "fp32")],
                         ids=" ".join)  # fmt: skip
def test_moe_smoothquant_is_right_with_each_of_its_options(options: tuple[str, ...]) -> None:
    result = nkimoe_op("moe_smoothquant", "-t=33", "-h=70", *options)
    assert result.exit_code == 0, result.output
    assert ", valid:y" in result.output


def test_the_routing_operations_are_right_with_their_own_options() -> None:
    for arguments in (
        ("topk_softmax", "--renormalize"),
        ("moe_sorting", "--no-packed", "-local_t=100"),
        ("routing_sigmoid_top1", "-m=5", "--fused-shared-experts"),
    ):
        result = nkimoe_op(*arguments)
        assert result.exit_code == 0, result.output
        assert ", valid:y" in result.output


@pytest.mark.parametrize("name", ["fused_moe_gemm", "fused_moe", "e2e_moe", "fused_experts"])
def test_bytes_of_experts_without_tokens_are_not_counted(name: str, tmp_path: Path) -> None:
    tokens, experts = {"fused_moe_gemm": ("-m", "-e"), "fused_experts": ("-t", "-e")}.get(name, ("-token", "-expert"))
    few, many = (
        document_of(tmp_path, name, *SMALL[name][0], f"{tokens}=2", f"{experts}={count}")["useful_nbytes"]
        for count in (6, 60)
    )
    assert few == many
