"""The table of data types."""

import pickle

import ml_dtypes
import numpy as np
import pytest

import nkisim.nki.language as nl
from nkisim.dtypes import DTYPES, dtype_of

SIZES = {
    "bool": 1, "int8": 1, "int16": 2, "int32": 4, "uint8": 1, "uint16": 2, "uint32": 4, "float16": 2, "float32": 4,
    "bfloat16": 2, "tfloat32": 4, "float8_e4m3": 1, "float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e8m0fnu": 1,
    "float8_e4m3fn_x4": 4, "float8_e5m2_x4": 4, "float4_e2m1fn_x4": 2,
}  # fmt: skip


def test_the_table_has_the_published_types_and_sizes():
    assert {name: dtype.itemsize for name, dtype in DTYPES.items()} == SIZES


def test_a_type_is_its_name():
    assert nl.bfloat16 == "bfloat16"
    assert nl.bool_ == "bool"
    assert dtype_of("float8_e4m3") is nl.float8_e4m3


@pytest.mark.parametrize("dtype", [d for d in DTYPES.values() if d != "tfloat32"])
def test_a_type_is_found_by_its_host_type(dtype):
    assert dtype_of(dtype.numpy) is dtype
    assert dtype_of(dtype) is dtype


def test_scalar_types_name_a_type_too():
    assert dtype_of(np.float32) is nl.float32
    assert dtype_of(ml_dtypes.bfloat16) is nl.bfloat16
    assert dtype_of(np.int8) is nl.int8


@pytest.mark.parametrize("value", [np.float64, np.int64, "float64", "bf16", object(), None, np.complex64])
def test_a_type_nki_does_not_have_is_refused_by_name(value):
    with pytest.raises(TypeError, match="NKI has no data type"):
        dtype_of(value)


@pytest.mark.parametrize("dtype", list(DTYPES.values()))
def test_a_type_survives_pickling(dtype):
    assert pickle.loads(pickle.dumps(dtype)) is dtype


def test_kinds_tell_numbers_from_containers():
    kinds = {name: dtype.kind for name, dtype in DTYPES.items()}
    assert {name for name in kinds if kinds[name] == "packed"} == {name for name in DTYPES if name.endswith("_x4")}
    assert kinds["float8_e8m0fnu"] == "scale"
    assert {name for name, dtype in DTYPES.items() if dtype.is_integer} == {n for n in DTYPES if "int" in n}
