"""nki-library's newer shard_on_block: where there is one, what it is called with, and what of its output counts."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import nki.language as nl
import numpy as np
import pytest
from click.testing import CliRunner
from compare_nkilib import main, numbers
from comparison.layer_inputs import blocks_with_tokens, draw, reduced
from comparison.newer import CASES, MODULE
from comparison.nkilib import MOE_CTE, PACKAGE, NkiLibrary
from nki import isa as nisa
from shapes import SHAPES

(CASE,) = CASES
SHAPE = SHAPES["gpt-oss-20b-tp8"]
OPTIONS = """
from enum import Enum

class BlockShardStrategy(Enum):
    HI_LO = 0
    PING_PONG = 1

class SkipMode:
    def __init__(self, *skip):
        self.skip = skip
"""


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A stand-in with as much of nki-library as calls need, and without the newer kernel."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    write(tmp_path, f"{MOE_CTE}.__init__", OPTIONS)
    write(tmp_path, "core.utils.common_types", "")
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE.split(".")[0]]:
        del sys.modules[name]


def write(checkout, module, text):
    file = checkout.joinpath("src", *f"{PACKAGE}.{module}".split(".")).with_suffix(".py")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_a_checkout_without_the_kernel_is_told_and_left_out(checkout):
    assert CASE.lacking(NkiLibrary(checkout)).endswith("experimental/moe/moe_cte/bwmm_shard_on_block_v2.py")
    said = CliRunner().invoke(main, ["--nkilib", str(checkout), "--variants", "shard_on_block_v2"])
    assert said.exit_code == 2
    assert "shard_on_block_v2 left out: the checkout has no nkilib_src" in said.output
    assert "nothing is left to compare" in said.output


def test_the_kernel_gets_its_own_option_classes_and_only_blocks_with_tokens(checkout):
    write(checkout, MODULE, "def bwmm_shard_on_block(**arguments):\n    return arguments\n")
    library, inputs = NkiLibrary(checkout), draw(replace(SHAPE, B=128), False)
    assert CASE.lacking(library) is None
    calls = [kernel(**arguments) for kernel, arguments in CASE.their_calls(inputs, library)]
    options = [(call["block_sharding_strategy"].name, call["skip_dma"].skip) for call in calls]
    assert options == [("PING_PONG", (True, False)), ("HI_LO", (True, True))]
    assert not any("conditions" in call or "spec" in call for call in calls)
    assert {call["block_to_expert"].size for call in calls} == {inputs.real_blocks + inputs.real_blocks % 2}
    assert inputs.blocks > inputs.real_blocks, "the layer has blocks to leave out"


def test_ours_is_called_as_beside_the_older_kernel():
    sizes = [layer.shape.B for layer in CASE.our_layers(SHAPE, 640)]
    assert CASE.implementation == "shard_on_block"
    assert 512 not in sizes
    assert [layer.shape.B for layer in CASE.layers(SHAPE, 640)] == [256, 128, 512]
    assert "conditions" in CASE.our_call(CASE.small_layer(SHAPE))[1]


def test_cores_get_equally_many_blocks_with_tokens():
    inputs = draw(replace(reduced(SHAPE), B=128), False)
    for real in (5, 6):
        left = blocks_with_tokens(replace(inputs, real_blocks=real))
        assert (left["block_to_expert"].size, left["token_position_to_id"].size) == (6, 6 * 128)


def test_columns_behind_the_hidden_size_are_no_result_and_the_worst_option_counts():
    def copied(columns, error, refuses=False):
        def kernel(x):
            assert not refuses
            out, tile = nl.ndarray((128, columns), nl.float32, buffer=nl.shared_hbm), nl.ndarray((128, 8), nl.float32)
            nisa.dma_copy(tile, x)
            nisa.tensor_scalar(tile, tile, nl.multiply, 1 + error)
            nisa.dma_copy(out[:, :8], tile)
            return out

        return kernel, {"x": np.ones((128, 8), np.float32)}

    def case(*theirs):
        return SimpleNamespace(
            small_layer=lambda shape: SimpleNamespace(shape=SimpleNamespace(H=8)), target="trn2",
            reference=lambda inputs: np.ones((128, 8), np.float32), our_call=lambda inputs: copied(8, 0.0),
            their_calls=lambda inputs, library: theirs,
        )  # fmt: skip

    found = numbers(case(copied(12, 0.25), copied(12, 0.5), copied(12, 0.0, refuses=True)), None, None)
    assert found == {"nkimoe": 0.0, "nkilib": pytest.approx(0.5)}
    assert "AssertionError" in numbers(case(copied(12, 0.0, refuses=True)), None, None)["nkilib"]
