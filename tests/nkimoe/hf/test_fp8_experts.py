"""transformers' FP8Experts, as published by DeepSeek and Qwen, keep codes and scales on their way to the kernel."""

import copy

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5")
fp8 = pytest.importorskip("transformers.integrations.finegrained_fp8")

from types import SimpleNamespace  # noqa: E402

from transformers.integrations.moe import use_experts_implementation  # noqa: E402

import nkimoe.hf  # noqa: E402
from nkimoe.errors import RequestError  # noqa: E402
from nkimoe.hf.forward import fused_moe_forward  # noqa: E402
from nkimoe.hf.packed import packed_weights  # noqa: E402
from nkimoe.pytorch import Options  # noqa: E402

from .experts import one_by_one  # noqa: E402

E, H, I = 5, 200, 128  # H ends within a block
CONFIG = SimpleNamespace(
    hidden_size=H, num_experts=E, moe_intermediate_size=I, hidden_act="silu", _experts_implementation="nkimoe"
)


@pytest.fixture(autouse=True)
def inference():
    nkimoe.hf.register()
    with torch.no_grad(), nkimoe.hf.options(weights="fp8-block"):
        yield


def blocks_of(weights):
    """e4m3 codes [E, rows, columns], and a scale for each 128 x 128."""
    rows, columns = weights.shape[1:]
    padded = torch.nn.functional.pad(weights, (0, -columns % 128, 0, -rows % 128))
    cut = padded.unflatten(2, (-1, 128)).unflatten(1, (-1, 128))
    scale = cut.abs().amax(dim=(2, 4)) / 448
    codes = (cut / scale[:, :, None, :, None]).flatten(3).flatten(1, 2)[:, :rows, :columns]
    return codes.to(torch.float8_e4m3fn), scale


def made(**changes):
    decorated = use_experts_implementation(
        experts_class=type("Experts", (fp8.FP8Experts,), {}), experts_interface=fp8.ALL_FP8_EXPERTS_FUNCTIONS
    )
    return decorated(config=CONFIG, **{"block_size": [128, 128], **changes})


def experts():
    """A module, and the same with numbers for codes."""
    module = made()
    plain, generator = copy.deepcopy(module), torch.Generator().manual_seed(0)
    for name in ("gate_up_proj", "down_proj"):
        codes, scale = blocks_of(torch.randn(getattr(module, name).shape, generator=generator) / 8)
        getattr(module, name).copy_(codes)
        getattr(module, f"{name}_scale_inv").copy_(scale)
        wide = scale.repeat_interleave(128, 1).repeat_interleave(128, 2)[:, : codes.shape[1], : codes.shape[2]]
        setattr(plain, name, torch.nn.Parameter(codes.float() * wide))
    return module, plain


def tokens(n=11, k=3):
    generator = torch.Generator().manual_seed(1)
    ids = torch.stack([torch.randperm(E, generator=generator)[:k] for _ in range(n)])
    return torch.randn(n, H, generator=generator).bfloat16().float(), ids, torch.rand(n, k, generator=generator)


@pytest.mark.parametrize("target", ["trn3", "trn2"])
@pytest.mark.parametrize("variant", ["shard_on_block", "shard_on_i"])
def test_experts_in_fp8_compute_what_their_numbers_say(target, variant):
    (module, plain), arguments = experts(), tokens()
    with nkimoe.hf.options(target=target, variant=variant):
        actual, expected = module(*arguments), one_by_one(plain, *arguments)
    assert (actual - expected).norm() < 1e-2 * expected.norm()


def test_codes_and_scales_are_those_of_the_module():
    module, _ = experts()
    packed = packed_weights(module, tokens()[0], Options(weights="fp8-block", target="trn3"))
    codes = packed.gate_up[:, :H, 1].view(torch.float8_e4m3fn).transpose(1, 2)
    assert torch.equal(codes.view(torch.uint8), module.gate_up_proj[:, I:].view(torch.uint8))
    assert torch.equal(packed.scales[1], module.down_proj_scale_inv.transpose(1, 2))


def test_packed_codes_are_kept_until_a_scale_changes():
    module, _ = experts()
    x, how = tokens()[0], Options(weights="fp8-block")
    first = packed_weights(module, x, how)
    assert packed_weights(module, x, how) is first
    module.down_proj_scale_inv.mul_(2)
    assert packed_weights(module, x, how) is not first


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block_size": None}, r"Experts.block_size: is \[128, 128\]; got None"),
        ({"activation_scheme": "static"}, "Experts.activation_scheme: is dynamic; got static"),
    ],
)
def test_scales_of_another_form_are_refused_by_name(changes, message):
    module, arguments = made(**changes), tokens()
    with pytest.raises(RequestError, match=message):
        module(*arguments)


def test_other_formats_and_fused_moe_are_refused():
    module, _ = experts()
    with nkimoe.hf.options(weights="plain"), pytest.raises(RequestError, match="is fp8-block for experts in fp8"):
        module(*tokens())
    with pytest.raises(RequestError, match="has weights without blocks; got fp8"):
        fused_moe_forward(module, *tokens())
