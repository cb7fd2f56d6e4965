"""Views, enumerations and operators are as published, and the registry is what the modules show.

Parameters of instructions and functions are compared in test_coverage.py, with the one table of what is published.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.memory import NkiTensor
from nkisim.operations.instruction import INSTRUCTIONS

Function = Callable[..., Any]
TENSOR = {
    "ap": "pattern offset=None scalar_offset=None vector_offset=None indirect_dim=0 dtype=None",
    "broadcast": "dim size",
    "expand_dim": "dim",
    "flatten_dims": "start_dim end_dim",
    "get_pattern": "",
    "indirect": "index num_elem=None",
    "is_contiguous": "",
    "is_indirect": "",
    "permute": "dims",
    "rearrange": "src_pattern dst_pattern fixed_sizes=None",
    "reinterpret_cast": "dtype",
    "reshape": "shape",
    "reshape_dim": "dim shape",
    "select": "dim index",
    "slice": "dim start end step=1",
    "squeeze_dim": "dim",
    "vector_select": "dim vector_offset",
    "view": "dtype",
}

ENUMERATIONS = {
    "engine": {"unknown": 0, "tensor": 1, "scalar": 2, "gpsimd": 3, "dma": 4, "vector": 5, "sync": 6},
    "reduce_cmd": {"idle": 0, "reset": 1, "reduce": 2, "reset_reduce": 3, "load_reduce": 4},
    "dge_mode": {"unknown": 0, "swdge": 1, "hwdge": 2, "none": 3},
    "oob_mode": {"error": 0, "skip": 1},
    "matmul_perf_mode": {"none": "none", "double_row": "double_row"},
    "nc_version": {"gen2": 2, "gen3": 3, "gen4": 4},
    "dma_engine": {"dma": 1, "gpsimd_dma": 2},
}

# fmt: off
BINARY = (
    "add", "subtract", "multiply", "maximum", "minimum", "logical_and", "logical_or", "logical_xor", "equal",
    "not_equal", "greater_equal", "greater", "less_equal", "less", "power", "bitwise_and", "bitwise_or", "bitwise_xor",
    "left_shift", "right_shift",
)
UNARY = (
    "invert", "abs", "square", "relu", "rsqrt", "reciprocal", "copy", "sigmoid", "silu", "silu_dx", "gelu",
    "gelu_apprx_tanh", "gelu_apprx_sigmoid", "tanh", "exp", "log", "sqrt", "sign", "erf", "softplus", "mish",
)
REDUCTIONS = (
    "add", "subtract", "multiply", "maximum", "minimum", "logical_and", "logical_or", "logical_xor", "bitwise_and",
    "bitwise_or", "bitwise_xor",
)
# fmt: on


def signature(function: Function, skip: int = 0) -> str:
    """Parameters as the tables write them."""
    parameters = list(inspect.signature(function).parameters.values())[skip:]
    return " ".join(p.name if p.default is p.empty else f"{p.name}={shown(p.default)}" for p in parameters)


def shown(value: Any) -> str:
    return f"{type(value).__name__}.{value.name}" if isinstance(value, Enum) else repr(value)


@pytest.mark.parametrize("name", TENSOR)
def test_a_view_has_its_published_signature(name: str) -> None:
    assert signature(getattr(NkiTensor, name), skip=1) == TENSOR[name]


@pytest.mark.parametrize("name", ENUMERATIONS)
def test_an_enumeration_has_its_published_values(name: str) -> None:
    assert {member.name: member.value for member in getattr(nisa, name)} == ENUMERATIONS[name]


def test_the_registered_instructions_are_the_ones_of_the_module() -> None:
    for name, declared in INSTRUCTIONS.items():
        function = declared.issue
        assert inspect.unwrap(getattr(nisa, name)) is inspect.unwrap(function)  # compat may wrap it
        assert function.__name__ == name
        assert function.__doc__


def test_every_name_that_is_promised_exists() -> None:
    for module in (nisa, nl):
        assert sorted(set(module.__all__)) == sorted(module.__all__)
        for name in module.__all__:
            assert hasattr(module, name)


@pytest.mark.parametrize("name", [*BINARY, *UNARY])
def test_an_operator_has_its_published_arity_and_reductions(name: str) -> None:
    operator = getattr(nl, name)
    assert operator.name == operator.__name__ == name
    assert operator.arity == (2 if name in BINARY else 1)
    assert operator.reducible is (name in REDUCTIONS)
    assert repr(operator) == f"nl.{name}"
    assert operator.__doc__


def test_the_published_attributes_of_a_tensor() -> None:
    for name in ("shape", "strides", "offset", "name", "dtype", "buffer", "ndim", "size"):
        assert hasattr(NkiTensor, name)


def test_old_names_of_engines() -> None:
    for name in ("tensor", "vector", "scalar", "gpsimd", "unknown"):
        assert getattr(nisa, f"{name}_engine") is nisa.engine[name]
