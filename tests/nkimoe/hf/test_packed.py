"""Packed weights are kept while nothing changes, and only then."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5")

from nkimoe.hf.packed import packed_weights  # noqa: E402
from nkimoe.pytorch import Options  # noqa: E402

from .experts import experts, tokens  # noqa: E402


def packed(module, **options):
    return packed_weights(module, tokens()[0], Options(**options))


def test_the_same_weights_are_packed_once():
    module = experts(has_bias=True)
    with torch.no_grad():
        assert packed(module) is packed(module)


def grow(module):
    module.down_proj += 1


def grow_data(module):
    module.down_proj.data += 1


def grow_bias(module):
    module.gate_up_proj_bias[0, 0] += 1


def load(module):
    module.load_state_dict({name: value + 1 for name, value in module.state_dict().items()})


def replace(module):
    module.gate_up_proj = torch.nn.Parameter(module.gate_up_proj + 1)


@pytest.mark.parametrize("change", [grow, grow_data, grow_bias, load, replace])
def test_a_change_is_noticed(change):
    module = experts(has_bias=True)
    with torch.no_grad():
        before = packed(module)
        change(module)
        after = packed(module)
    fresh = experts(has_bias=True)
    with torch.no_grad():
        change(fresh)
        expected = packed(fresh)
    assert after is not before
    for name in ("gate_up", "down"):
        torch.testing.assert_close(getattr(after, name), getattr(expected, name))
    torch.testing.assert_close(after.biases, expected.biases)


def test_formats_and_targets_are_kept_apart():
    module = experts()
    with torch.no_grad():
        plain, trn2, trn3 = (
            packed(module),
            packed(module, weights="fp8-row"),
            packed(module, weights="fp8-row", target="trn3"),
        )
    assert plain.gate_up.dtype == torch.bfloat16
    assert not torch.equal(trn2.gate_up, trn3.gate_up), "e4m3 of 240 and of 448"


def test_weights_in_training_are_packed_anew_as_part_of_the_graph():
    module = experts()
    first, second = packed(module), packed(module)
    assert first is not second
    assert first.gate_up.requires_grad
