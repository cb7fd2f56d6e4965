"""Experts in fp8 with a scale for 128 x 128 through the torch operator: made here, or as a checkpoint has them."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from nkimoe.errors import RequestError  # noqa: E402
from nkimoe.pytorch import ExpertWeights, moe_experts, options  # noqa: E402
from nkimoe.weights import FP8_OF_TARGET  # noqa: E402
from nkimoe.weights.block_scales import spread_blocks  # noqa: E402

from .layers import definition, silu, tokens, weights  # noqa: E402

H, I = 300, 200  # neither is whole blocks


@pytest.fixture(autouse=True)
def inference():
    with torch.no_grad():
        yield


def numbers(prepared, target):
    """What codes and scales mean, not padded."""

    def real(codes, scales):
        plain = codes.numpy().view(FP8_OF_TARGET[target]).astype("float32")
        each = [spread_blocks(scale, codes.shape[1:], 128) for scale in scales.numpy()]
        return torch.from_numpy(plain * np.stack(each))

    gate_up, down = real(prepared.gate_up, prepared.scales[0]), real(prepared.down, prepared.scales[1])
    return ExpertWeights(gate_up[:, :H, :, :I], down[:, :I, :H])


def error(actual, expected):
    return float((actual - expected).norm() / expected.norm())


@pytest.mark.parametrize("target", ["trn2", "trn3"])
@pytest.mark.parametrize("variant", ["shard_on_block", "shard_on_i", "shard_on_i_hybrid"])
def test_the_layer_is_that_of_codes_and_scales(variant, target):
    experts, (x, ids, routing) = weights(H=H, I=I), tokens(T=30, H=H)
    with options(weights="fp8-block", variant=variant, target=target):
        prepared = experts.prepare(torch.bfloat16, "fp8-block", target)
        actual = moe_experts(x, ids, routing, prepared)
    assert error(actual, definition(x, ids, routing, numbers(prepared, target), silu)) < 8e-3
    assert 1e-2 < error(actual, definition(x, ids, routing, experts, silu)) < 6e-2


def test_every_block_has_a_scale_of_its_own():
    experts = weights(H=H, I=I)
    experts.gate_up[2, 128:256, 0, :128] *= 64
    (gate_up_scale, down_scale) = experts.prepare(torch.bfloat16, "fp8-block", "trn2").scales
    assert (gate_up_scale.shape, down_scale.shape) == ((4, 3, 2, 2), (4, 2, 3))
    assert gate_up_scale.argmax() == 2 * 12 + 1 * 4  # of expert 2, the second 128 rows, gate, the first columns


def test_codes_of_a_checkpoint_are_not_packed_in_another_format():
    codes = torch.zeros(2, 128, 2, 128).to(torch.float8_e4m3fn), torch.zeros(2, 128, 128).to(torch.float8_e4m3fn)
    experts = ExpertWeights(*codes, scales=[torch.ones(2, 1, 2, 1), torch.ones(2, 1, 1)])
    for packing in ("plain", "fp8-row", "mxfp8"):
        with pytest.raises(RequestError, match=f"weights: is fp8-block for experts in fp8; got '{packing}'"):
            experts.prepare(torch.bfloat16, packing, "trn3")
    assert torch.equal(experts.prepare(torch.bfloat16, "fp8-block", "trn3").scales[1], experts.scales[1])


def test_they_are_not_trained():
    with torch.enable_grad(), pytest.raises(RequestError, match="is 'plain' when weights are trained; got 'fp8-block'"):
        weights(H=H, I=I).prepare(torch.bfloat16, "fp8-block", "trn2")
