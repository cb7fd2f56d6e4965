"""torch tensors in, torch tensors out."""

import numpy as np
import pytest
from support.device import store

import nkisim.nki as nki
import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import LaunchError

torch = pytest.importorskip("torch", reason="torch is an optional extra")

SHARED = (
    "float32", "float16", "bfloat16", "int32", "int16", "int8", "uint8", "bool", "uint16", "uint32",
    "float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu",
)  # fmt: skip


def values(name: str):
    """A tensor whose bytes are all different."""
    dtype = getattr(torch, name)
    size = torch.empty((), dtype=dtype).element_size()
    bits = torch.arange(24 * size, dtype=torch.uint8).reshape(4, 6 * size)
    return (bits[:, : 6 * size] % 2).bool()[:, :6] if name == "bool" else bits.view(dtype)


@pytest.mark.parametrize("name", SHARED)
def test_every_shared_data_type_comes_back_bit_for_bit(trn2, name):
    given = values(name)
    out = trn2.outputs(lambda x: (x, str(x.dtype)), given)
    assert out[1] == name
    assert out[0].dtype == given.dtype
    assert torch.equal(out[0].view(torch.uint8), given.view(torch.uint8))


def test_a_tensor_is_computed_with_and_updated_in_place(trn2):
    def kernel(x, y):
        t = nl.load(x)
        nisa.tensor_scalar(t, t, nl.multiply, 2.0)
        nisa.dma_copy(y, t)
        return store(t)

    x, y = torch.randn(5, 7, requires_grad=True), torch.zeros(5, 7, dtype=torch.bfloat16)
    out = trn2.outputs(kernel, x, y)
    assert torch.equal(out, x.detach() * 2)
    assert torch.equal(y, out.to(torch.bfloat16))


def test_a_transposed_tensor_is_read_and_updated_in_place(trn2):
    def kernel(x):
        t = nl.load(x)
        nisa.memset(t[:, 0:1], 9)
        nisa.dma_copy(x, t)
        return x

    base = torch.randn(3, 5).to(torch.bfloat16)
    before = base.clone()
    out = trn2.outputs(kernel, base.T)
    before[0] = 9
    assert torch.equal(base, before)
    assert torch.equal(out, before.T)


def test_one_torch_argument_makes_all_results_torch(trn2):
    def kernel(weights, x):
        return weights["a"], x

    out = trn2.outputs(kernel, {"a": torch.ones(2, 2)}, np.zeros((3, 3), np.float32))
    assert all(isinstance(tensor, torch.Tensor) for tensor in out)


@pytest.mark.parametrize("name", ["float64", "int64", "complex64", "float8_e4m3fnuz"])
def test_refuses_a_data_type_nki_does_not_have(refuses, name):
    with refuses(LaunchError, "NKI303", f"torch.{name}"):
        nki.simulate(lambda x: x)(torch.zeros(3, dtype=getattr(torch, name)))


def test_checks_of_inputs_see_numpy_arrays(trn2):
    def kernel(x):
        return x

    seen = []
    kernel.check_inputs = lambda x: seen.append(x)
    trn2.run(kernel, torch.ones(2, 2))
    assert [type(array) for array in seen] == [np.ndarray]


def test_refuses_a_result_of_a_type_torch_does_not_have(refuses):
    def kernel(x):
        return store(nl.load(x, dtype=nl.float8_e4m3))

    assert nki.simulate(kernel)(np.ones((2, 2), np.float32)).dtype == nl.float8_e4m3.numpy
    with refuses(LaunchError, "NKI303", "float8_e4m3"):
        nki.simulate(kernel)(torch.ones(2, 2))
