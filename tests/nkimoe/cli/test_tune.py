"""`nkimoe tune`: rows as they are found, once, with what predicted them."""

import pytest
from click.testing import CliRunner, Result

from nkimoe.cli import tune as command
from nkimoe.cli.main import main
from nkimoe.tuning import read_table
from nkimoe.tuning.tuned_row import LAYER
from nkisim.timing import CLOCK

SHAPE = ("--shape", 256, 128, 4, 2)


@pytest.fixture
def table(tmp_path):
    return tmp_path / "tuned.csv"


def nkimoe_tune(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["tune", *map(str, arguments)])


def test_each_number_of_tokens_has_a_row(table):
    done = nkimoe_tune(table, *SHAPE, "--tokens", 5, "--tokens", 7, "--tokens", 16, "--act-type", "gelu")
    assert done.exit_code == 0, done.output
    assert "token 8, 256 x 128, E 4, k 2: predicted " in done.output
    rows = [*read_table(table)]
    assert [(row.layer.token, row.layer.act_type, row.clock) for row in rows] == [
        (8, "gelu", CLOCK), (16, "gelu", CLOCK),
    ]  # fmt: skip


def test_a_row_that_is_there_is_not_predicted_again_unless_told(table, monkeypatch):
    predicted = []
    monkeypatch.setattr(command, "best_row", lambda *a, found=command.best_row: predicted.append(1) or found(*a))
    for more, total in (((), 1), ((), 1), (("--tokens", 2), 2), (("--again",), 3)):
        done = nkimoe_tune(table, *SHAPE, "--tokens", 1, *more)
        assert done.exit_code == 0, done.output
        assert len(predicted) == total
    text = table.read_text().replace(f",{CLOCK},", ",1.0,")
    table.write_text(text)
    nkimoe_tune(table, *SHAPE, "--tokens", 1)
    assert len(predicted) == 4
    assert {row.layer.token: row.clock for row in read_table(table)} == {1: CLOCK, 2: "1.0"}


def test_a_run_that_is_stopped_keeps_what_it_found(table, monkeypatch):
    rows = []

    def until_stopped(*arguments, found=command.best_row):
        if rows:
            raise KeyboardInterrupt
        rows.append(found(*arguments))
        return rows[-1]

    monkeypatch.setattr(command, "best_row", until_stopped)
    assert nkimoe_tune(table, *SHAPE, "--tokens", 1, "--tokens", 2).exit_code == 1
    assert next(iter(read_table(table))).layer == rows[0].layer


def test_layers_of_a_model_and_of_aiters_table(table, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(command, "_fill", lambda table, stages, *_: asked.append(stages.layer) or True)
    header = "cu_num," + ",".join(LAYER)
    line = "80,4,2304,1536,8,2,ActivationType.Gelu,torch.bfloat16,{0},{0},QuantType.No,1,1"
    lines = [header, line.format("torch.bfloat16"), line.format("torch.float8_e4m3fnuz")]
    (tmp_path / "theirs.csv").write_text("\n".join(lines))
    arguments = "--model", "llama-4-scout", "--tp", 8, "--tokens", 64, "--peer-table", tmp_path / "theirs.csv"
    done = nkimoe_tune(table, *arguments)
    assert done.exit_code == 0, done.output
    assert "1 of 2 layers can be tuned here" in done.output
    assert "     1 q_dtype_a torch.float8_e4m3fnuz, q_dtype_w torch.float8_e4m3fnuz, q_type QuantType.No" in done.output
    assert [(layer.model_dim, layer.inter_dim, layer.doweight_stage1) for layer in asked] == [
        (5120, 1024, True), (2304, 1536, True),
    ]  # fmt: skip


def test_a_layer_that_the_target_cannot_run_is_named_and_the_others_go_on(table, tmp_path):
    fp8, bf16 = ("torch.float8_e4m3fn", "per_Tensor"), ("torch.bfloat16", "No")
    line = "80,4,256,128,4,2,ActivationType.Silu,torch.bfloat16,{0},{0},QuantType.{1},1,0"
    lines = ["cu_num," + ",".join(LAYER), line.format(*fp8), line.format(*bf16)]
    (tmp_path / "theirs.csv").write_text("\n".join(lines))
    done = nkimoe_tune(table, "--peer-table", tmp_path / "theirs.csv")
    assert done.exit_code == 2
    assert "token 4, 256 x 128, E 4, k 2: not tuned: b: is float8_e4m3, float8_e5m2 on trn2" in done.output
    assert [row.layer.q_dtype_w for row in read_table(table)] == ["bfloat16"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*SHAPE, "--act-type", "none"), "act_type: is silu, gelu, swiglu without one projection; got none"),
        ((*SHAPE, "--one-projection"), "act_type: is gelu, none with one projection; got silu"),
        ((*SHAPE, "--group-size", 32), "group_size: comes with int4_w4a16, and no other; got 32"),
        ((), "layers: are given"),
    ],
)
def test_what_contradicts_itself_is_refused(table, arguments, said):
    done = nkimoe_tune(table, *arguments)
    assert done.exit_code == 2
    assert said in done.output
    assert not table.exists()
