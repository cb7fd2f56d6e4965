"""Kernels keep to forms of the API about which all of AWS's documents agree."""

from dataclasses import replace

import nki.isa as nisa
import nki.language as nl
import pytest
from support.case import Case, cases
from support.launch import check

from nkisim.memory import NkiTensor

SLABS = Case(
    variant="shard_on_block_mx", T=150, H=512, I=384, E=3, target="trn3", weights="mxfp4", per_core_output=True
)


@pytest.fixture
def only_documented(monkeypatch):
    """Fails where a form is used about which documents differ, or are silent."""
    ap, reshape, copy, matmul = NkiTensor.ap, NkiTensor.reshape, nisa.tensor_copy_predicated, nisa.nc_matmul

    def whole_ap(self, *args, **kwargs):
        assert self.offset == 0, f"a pattern of a view that begins at {self.offset}"
        return ap(self, *args, **kwargs)

    def sized_reshape(self, shape):
        assert min(shape) >= 0, f"a size of {min(shape)}"
        return reshape(self, shape)

    def same_type_copy(*, dst, src, predicate):
        assert isinstance(src, NkiTensor)
        assert src.dtype == dst.dtype
        return copy(dst=dst, src=src, predicate=predicate)

    def stepping_matmul(*, stationary, **kwargs):
        assert 0 not in stationary.strides[1:], "a stationary tile with a step of 0"
        return matmul(stationary=stationary, **kwargs)

    def ordered_copy(*, dst, src, **kwargs):
        read_again = dst.buffer is nl.shared_hbm
        assert not (read_again and {"dge_mode", "engine"} & kwargs.keys()), "the compiler orders what is read again"
        return transfer(dst=dst, src=src, **kwargs)

    transfer = nisa.dma_copy
    monkeypatch.setattr(NkiTensor, "ap", whole_ap)
    monkeypatch.setattr(NkiTensor, "reshape", sized_reshape)
    monkeypatch.setattr(nisa, "tensor_copy_predicated", same_type_copy)
    monkeypatch.setattr(nisa, "nc_matmul", stepping_matmul)
    monkeypatch.setattr(nisa, "dma_copy", ordered_copy)


@cases(
    Case(T=150, E=3),
    Case(T=150, E=3, static_blocks=0, conditions=1),
    Case(variant="shard_on_i_hybrid", T=150, E=3, static_blocks=1, skip_token=False),
    Case(variant="shard_on_i", T=150, E=3, multiply_on_i=True),
    Case(T=150, E=3, per_core_output=True, skip_token=False),
    SLABS,
    replace(SLABS, skip_token=False),
    replace(SLABS, skip_token=False, B=200, static_blocks=1),
    replace(SLABS, B=200, static_blocks=0, conditions=1),
)
def test_a_layer_uses_documented_forms(case: Case, only_documented: None) -> None:
    check(case)
