"""Every defined instruction and language name has the published parameters, in order, with the published defaults.

The tables are facts of the public API reference of NKI 0.6; `name` is an optional label every instruction takes last.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.instructions.operation import INSTRUCTIONS
from nkisim.memory import NkiTensor

Function = Callable[..., Any]
ENGINE, ERROR, DGE = "engine=engine.unknown", "oob_mode=oob_mode.error", "dge_mode=dge_mode.unknown"
IDLE = "reduce_cmd=reduce_cmd.idle"

ISA = {
    "activation": f"dst op data bias=None scale=1.0 reduce_op=None reduce_res=None {IDLE} name=None",
    "core_barrier": "data cores engine=engine.gpsimd name=None",
    "dma_compute": f"dst srcs reduce_op scales=None unique_indices=True {ERROR} name=None",
    "dma_copy": f"dst src priority=None {ERROR} {DGE} {ENGINE} name=None",
    "dma_transpose": f"dst src axes=None priority=None {DGE} {ERROR} name=None",
    "get_nc_sub_version": "",
    "get_nc_version": "",
    "iota": "dst pattern offset=0 channel_multiplier=0 name=None",
    "memset": f"dst value {ENGINE} name=None",
    "nc_matmul": "dst stationary moving is_stationary_onezero=False is_moving_onezero=False is_transpose=False "
    "accumulate=None tile_position=() tile_size=() perf_mode=matmul_perf_mode.none name=None",
    "nc_stream_shuffle": "dst src shuffle_mask name=None",
    "nc_transpose": f"dst data {ENGINE} name=None",
    "register_alloc": "x=None",
    "register_load": "dst src",
    "register_move": "dst src",
    "register_store": "dst src",
    "scalar_tensor_tensor": "dst data op0 operand0 op1 operand1 reverse0=False reverse1=False name=None",
    "sendrecv": "src dst send_to_rank recv_from_rank pipe_id dma_engine=dma_engine.dma name=None",
    "tensor_copy": f"dst src {ENGINE} name=None",
    "tensor_copy_predicated": "dst src predicate reverse_pred=False name=None",
    "tensor_reduce": "dst op data axis negate=False keepdims=False name=None",
    "tensor_scalar": f"dst data op0 operand0 reverse0=False op1=None operand1=None reverse1=False {ENGINE} name=None",
    "tensor_tensor": f"dst data1 data2 op {ENGINE} name=None",
}

LANGUAGE = {
    "affine_range": "start stop=None step=1",
    "device_print": "print_prefix tensor",
    "ds": "start size",
    "dynamic_range": "start stop=None step=1",
    "empty_like": "x dtype=None buffer=None name=''",
    "fori_loop": "lower upper body_fun step=1",
    "full": "shape fill_value dtype buffer=MemoryRegion.sbuf name=''",
    "is_hbm": "buffer",
    "is_on_chip": "buffer",
    "is_psum": "buffer",
    "is_sbuf": "buffer",
    "load": "src dtype=None",
    "ndarray": "shape dtype buffer=MemoryRegion.sbuf name='' address=None",
    "no_reorder": "",
    "num_programs": "axes=0",
    "ones": "shape dtype buffer=MemoryRegion.sbuf name=''",
    "program_id": "axis=0",
    "program_ndim": "",
    "sequential_range": "start stop=None step=1",
    "shared_constant": "constant",
    "shared_identity_matrix": "n dtype='uint8' dst=None",
    "static_range": "start stop=None step=1",
    "store": "dst value",
    "while_loop": "init body_fun",
    "zeros": "shape dtype buffer=MemoryRegion.sbuf name=''",
    "zeros_like": "x dtype=None buffer=None name=''",
}

TENSOR = {
    "ap": "pattern offset=None scalar_offset=None vector_offset=None indirect_dim=0 dtype=None",
    "broadcast": "dim size",
    "expand_dim": "dim",
    "flatten_dims": "start_dim end_dim",
    "get_pattern": "",
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


@pytest.mark.parametrize("name", ISA)
def test_an_instruction_has_its_published_signature(name: str) -> None:
    assert signature(getattr(nisa, name)) == ISA[name]


@pytest.mark.parametrize("name", LANGUAGE)
def test_a_function_of_the_language_has_its_published_signature(name: str) -> None:
    assert signature(getattr(nl, name)) == LANGUAGE[name]


@pytest.mark.parametrize("name", TENSOR)
def test_a_view_has_its_published_signature(name: str) -> None:
    assert signature(getattr(NkiTensor, name), skip=1) == TENSOR[name]


@pytest.mark.parametrize("name", ENUMERATIONS)
def test_an_enumeration_has_its_published_values(name: str) -> None:
    assert {member.name: member.value for member in getattr(nisa, name)} == ENUMERATIONS[name]


def test_the_registered_instructions_are_the_ones_of_the_module() -> None:
    for name, function in INSTRUCTIONS.items():
        assert getattr(nisa, name) is function
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
