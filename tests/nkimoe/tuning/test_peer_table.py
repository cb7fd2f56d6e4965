"""aiter's tables: which layers can be tuned here, and why others cannot."""

from collections import Counter

import pytest

from nkimoe import RequestError
from nkimoe.tuning import LayerKey, read_peer_table

HEADER = (
    "gfx,cu_num,token,model_dim,inter_dim,expert,topk,act_type,dtype,q_dtype_a,q_dtype_w,q_type,use_g1u1,"
    "doweight_stage1,block_m,ksplit,us1,kernelName1,err1,us2,kernelName2,err2,us,run_1stage,tflops,bw,_tag"
)
BF16, INT8, FP8 = "torch.bfloat16", "torch.int8", "torch.float8_e4m3fnuz"
TAIL = "32,0,17.8,some_kernel,0.0%,14.5,other_kernel,0.0%,32.3,0,5.26,2629.41,"


def line(
    token=64, hidden=2048, columns=192, act="Silu", dtype=BF16, a=BF16, w=BF16, q_type="No", gated=1, early=0
):  # fmt: skip
    key = f"{token},{hidden},{columns},128,8,ActivationType.{act},{dtype},{a},{w},QuantType.{q_type},{gated},{early}"
    return f"gfx942,80,{key},{TAIL}"


def read(tmp_path, *lines, header=HEADER):
    (tmp_path / "tuned_fmoe.csv").write_text("\n".join([header, *lines]) + "\n")
    return read_peer_table(tmp_path / "tuned_fmoe.csv")


def test_a_layer_in_bf16_or_int8_by_token_is_one_to_tune(tmp_path):
    rows = read(tmp_path, line(), line(act="Gelu", a=INT8, w=INT8, q_type="per_Token", early=1))
    common = 64, 2048, 192, 128, 8
    assert [row.layer for row in rows] == [
        LayerKey(*common, "silu", "bfloat16", "bfloat16", "bfloat16", "no", True, False),
        LayerKey(*common, "gelu", "bfloat16", "int8", "int8", "per_token", True, True),
    ]
    assert [(row.line, row.reason) for row in rows] == [(2, ""), (3, "")]


def test_files_without_gfx_are_read_too(tmp_path):
    (row,) = read(tmp_path, line().removeprefix("gfx942,"), header=HEADER.removeprefix("gfx,"))
    assert row.layer is not None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"act": "Relu"}, "act_type ActivationType.Relu"),
        ({"dtype": "torch.float32"}, "dtype torch.float32"),
        ({"gated": 0}, "use_g1u1 0: fused_moe has a gate"),
        (
            {"a": FP8, "w": FP8, "q_type": "per_Token"},
            f"q_dtype_a {FP8}, q_dtype_w {FP8}, q_type QuantType.per_Token",
        ),
        (
            {"a": INT8, "w": INT8, "q_type": "per_Tensor"},
            f"q_dtype_a {INT8}, q_dtype_w {INT8}, q_type QuantType.per_Tensor",
        ),
        ({"hidden": 20000}, "model_dim or inter_dim over 16384"),
        ({"token": 20480}, "token that is no bucket, which nothing would look up"),
        ({"token": "many"}, "sizes or flags that are no numbers"),
    ],
    ids=lambda each: each if isinstance(each, str) else "-".join(each),
)
def test_a_layer_that_cannot_be_tuned_has_its_reason(tmp_path, changed, reason):
    (row,) = read(tmp_path, line(**changed))
    assert (row.layer, row.reason) == (None, reason)


def test_reasons_can_be_counted(tmp_path):
    rows = read(tmp_path, *[line(token=20480)] * 3, line(dtype="torch.float32"), line())
    assert sorted(Counter(row.reason for row in rows).values()) == [1, 1, 3]


def test_a_file_without_the_key_is_refused(tmp_path):
    with pytest.raises(RequestError, match="has the key of aiter's table; got no model_dim"):
        read(tmp_path, header="token,us")


def test_a_cut_line_is_a_row_that_cannot_be_used(tmp_path):
    (row,) = read(tmp_path, "gfx942,80,64,2048")
    assert row.reason == "sizes or flags that are no numbers"
