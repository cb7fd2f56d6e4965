"""Sizes that depend on the environment, or that no document prints."""

import pytest

import nkisim.nki.language as nl
from nkisim.errors import NotSimulated


def test_a_bank_is_kept_for_transposes_the_tensor_engine_takes_over(monkeypatch):
    assert nl.tile_size.psum_num_banks == 8
    monkeypatch.setenv("NKI_DMA_TRANSPOSE_AS_PE_TRANSPOSE", "true")
    assert nl.tile_size.psum_num_banks == 7


@pytest.mark.parametrize("name", ["psum_min_align", "sbuf_min_align"])
def test_refuses_sizes_no_document_prints(refuses, name):
    with refuses(NotSimulated, "NKI001", name):
        getattr(nl.tile_size, name)
