"""The doors of packing: what may come in, what is refused, and progress."""

import ml_dtypes
import numpy as np
import pytest

from nkimoe import RequestError
from nkimoe.weights import PACKING_NAMES, Plain, experts_of, pack, packing_named, unpack

E, H, I = 3, 100, 20


def plain(dtype=np.float32):
    rng = np.random.default_rng(0)
    shapes = ((E, H, 2, I), (E, I, H), (E, 2, I), (E, H))
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def test_plain_weights_are_padded_to_what_the_kernels_take():
    weights = plain(ml_dtypes.bfloat16)
    packed = pack(experts_of(*weights), Plain())
    assert {name: tensor.shape for name, tensor in packed.items()} == {
        "gate_up_proj_weight": (E, 128, 2, 32),
        "down_proj_weight": (E, 32, 128),
        "gate_and_up_proj_bias": (E, 2, 32),
        "down_proj_bias": (E, 128),
    }
    names = ("gate_up", "down", "gate_up_bias", "down_bias")
    for e, expert in enumerate(unpack(packed, Plain(), H, I)):
        for name, given in zip(names, weights, strict=True):
            np.testing.assert_array_equal(getattr(expert, name), given[e])
    for tensor in packed.values():
        assert tensor.dtype == ml_dtypes.bfloat16
    assert sum(np.count_nonzero(t) for t in packed.values()) == sum(np.count_nonzero(w) for w in weights)


@pytest.mark.parametrize("name", PACKING_NAMES)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float8_e4m3fn"])
def test_torch_tensors_are_taken_as_they_are(name, dtype):
    torch = pytest.importorskip("torch")
    numpy_type = getattr(ml_dtypes, dtype, None) or np.dtype(dtype)
    arrays = plain(numpy_type)
    tensors = [torch.from_numpy(a.astype(np.float32)).to(getattr(torch, dtype)) for a in arrays]
    packing = packing_named(name, "trn3")
    for key, tensor in pack(experts_of(*arrays), packing).items():
        np.testing.assert_array_equal(pack(experts_of(*tensors), packing)[key].view(np.uint8), tensor.view(np.uint8))


def test_parameters_of_a_model_are_taken_without_a_copy():
    torch = pytest.importorskip("torch")
    tensors = [torch.nn.Parameter(torch.zeros(shape, dtype=torch.bfloat16)) for shape in ((E, H, 2, I), (E, I, H))]
    (expert, *_) = experts_of(*tensors)
    with torch.no_grad():
        tensors[1][0, 2, 3] = 5
    assert expert.down[2, 3] == 5


def test_progress_is_called_after_each_expert():
    seen = []
    pack(experts_of(*plain()), Plain(), progress=lambda *step: seen.append(step))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_down_bias_may_have_a_row_axis():
    weights = plain()
    weights[3] = weights[3].reshape(E, 1, H)
    np.testing.assert_array_equal(experts_of(*weights)[1].down_bias, weights[3][1, 0])


@pytest.mark.parametrize(
    ("position", "shape", "message"),
    [
        (0, (E, 2, H, I), r"gate_up_proj_weight: has shape \(3, 100, 2, 20\); got \(3, 2, 100, 20\)"),
        (1, (E * I, H), r"down_proj_weight: has shape \[E, I, H\]; got \(60, 100\)"),
        (2, (E, 2 * I), r"gate_and_up_proj_bias: has shape \(3, 2, 20\); got \(3, 40\)"),
        (3, (E, H + 1), r"down_proj_bias: has shape \(3, 100\); got \(3, 101\)"),
    ],
)
def test_shapes_that_disagree_are_refused_by_name(position, shape, message):
    weights = plain()
    weights[position] = np.zeros(shape, np.float32)
    with pytest.raises(RequestError, match=message):
        experts_of(*weights)


def test_other_things_are_refused_by_name():
    with pytest.raises(RequestError, match="down_proj_weight: is a NumPy array or a torch CPU tensor; got list"):
        experts_of(plain()[0], [1.0])
    with pytest.raises(RequestError, match="experts: are at least one; got 0"):
        pack([], Plain())
    with pytest.raises(RequestError, match=r"name: is one of bf16, fp8-row, .*; got 'int4'"):
        packing_named("int4")
    with pytest.raises(RequestError, match="target: is one of trn2, trn3; got 'trn1'"):
        packing_named("fp8-row", "trn1")
