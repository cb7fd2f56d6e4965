"""Single instructions on Trn2, as read off the profile pictures of the documentation (10 to 25 ns of uncertainty)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np

from calibrate.cases import Case, Predictions, Published
from calibrate.measure import timeline_of

_MATMUL = "nki/guides/tutorials/kernel-optimization, profile pictures"
_NORM = "nki/library/specs/design-rmsnorm-quant, profile pictures"
_REPEATS = 24  # more than the PE needs to warm up
Tiles = Callable[..., Any]


def cases() -> list[Case]:
    """Latency of one instruction, and the distance of two that do not depend on each other."""
    pe, dve, act = ("pe_time.result",), ("dve_time.result",), ("act_time.result",)
    copy, apart = ("dve_rate.copy_32_sbuf",), ("dve_time.overhead",)
    return [
        _case("nc_matmul fp32 [128,128] x [128,512]", _MATMUL, _matmul, [_apart(860, ("pe_time.overhead",))]),
        _case("PE transpose fp32 [128,128]", _MATMUL, _transpose, [_latency(272, pe)]),
        _case("tensor_copy fp32 512, PSUM to SBUF", _MATMUL, _copy_from_psum, [_latency(700, dve), _apart(604, apart)]),
        _case("tensor_tensor fp32 512, SBUF and PSUM", _MATMUL, _add, [_latency(694)]),
        _case("tensor_copy fp32 512, SBUF to SBUF", _MATMUL, _copy, [_latency(428, copy), _apart(343)]),
        _case("activation bf16 128", _NORM, lambda: _activation(128), [_latency(400, act)]),
        _case("activation bf16 4096", _NORM, lambda: _activation(4096), [_latency(3709)]),
        _case("activation, sum, bf16 16384", _NORM, _activation_sum, [_latency(14000)]),
        _case("tensor_reduce maximum bf16 16384, measured for abs-max", _NORM, _abs_max, [_latency(17200)]),
        _case("tensor_scalar bf16 to fp8 16384", _NORM, _to_fp8, [_latency(8790)]),
    ]


def _latency(value: float, fitted: tuple[str, ...] = ()) -> Published:
    return Published("latency", value, "ns", fitted)


def _apart(value: float, fitted: tuple[str, ...] = ()) -> Published:
    return Published("interval", value, "ns", fitted)


def _case(name: str, source: str, predict: Callable[[], Predictions], published: list[Published]) -> Case:
    return Case("instruction", name, source, tuple(published), predict)


def _sbuf(shape: tuple[int, int], dtype: Any) -> Any:
    return nl.ndarray(shape, dtype=dtype, buffer=nl.sbuf)


def _repeated(opcode: str, body: Callable[[], None]) -> Predictions:
    """Latency of the last of some equal instructions, and the distance of the last two."""

    @nki.jit
    def kernel(source: Any) -> Any:
        body()
        return source

    timeline = timeline_of(kernel, np.zeros((1, 1), np.float32))
    runs = [task.number for task in timeline.tasks if task.opcode == opcode]
    last = runs[-1]
    distance = timeline.begin[last] - timeline.begin[runs[-2]] if len(runs) > 1 else 0.0
    return {"latency": timeline.done[last] - timeline.begin[last], "interval": distance}


def _filled(shape: tuple[int, int], dtype: Any) -> Any:
    tile = _sbuf(shape, dtype)
    nisa.memset(dst=tile, value=1.0)
    return tile


def _matmul() -> Predictions:
    def body() -> None:
        left, right = _filled((128, 128), nl.float32), _filled((128, 512), nl.float32)
        total = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum)
        for _ in range(_REPEATS):
            nisa.nc_matmul(dst=total, stationary=left, moving=right)

    return _repeated("nc_matmul", body)


def _transpose() -> Predictions:
    def body() -> None:
        data, result = _filled((128, 128), nl.float32), nl.ndarray((128, 128), dtype=nl.float32, buffer=nl.psum)
        for _ in range(_REPEATS):
            nisa.nc_transpose(dst=result, data=data, engine=nisa.engine.tensor)

    return _repeated("nc_transpose", body)


def _from_psum(instruction: Callable[[Any, Any, Any], None]) -> Predictions:
    """`instruction` on results, a tile in SBUF and one in PSUM; each time with a result of its own."""

    def body() -> None:
        data, total = _filled((128, 512), nl.float32), nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum)
        nisa.tensor_copy(dst=total, src=data, engine=nisa.engine.scalar)
        for _ in range(_REPEATS):
            instruction(_sbuf((128, 512), nl.float32), data, total)

    return _repeated("tensor_copy" if instruction is _psum_to_sbuf else "tensor_tensor", body)


def _psum_to_sbuf(result: Any, data: Any, total: Any) -> None:
    nisa.tensor_copy(dst=result, src=total, engine=nisa.engine.vector)


def _copy_from_psum() -> Predictions:
    return _from_psum(_psum_to_sbuf)


def _add() -> Predictions:
    return _from_psum(lambda result, data, total: nisa.tensor_tensor(dst=result, data1=data, data2=total, op=nl.add))


def _copy() -> Predictions:
    def body() -> None:
        data = _filled((128, 512), nl.float32)
        for _ in range(_REPEATS):
            nisa.tensor_copy(dst=_sbuf((128, 512), nl.float32), src=data, engine=nisa.engine.vector)

    return _repeated("tensor_copy", body)


def _activation(columns: int) -> Predictions:
    def body() -> None:
        data = _filled((128, columns), nl.bfloat16)
        for _ in range(2):  # the first one loads the table
            nisa.activation(dst=_sbuf((128, columns), nl.bfloat16), op=nl.exp, data=data)

    return _repeated("activation", body)


def _activation_sum() -> Predictions:
    def body() -> None:
        data = _filled((128, 16384), nl.bfloat16)
        for _ in range(2):
            result, total = _sbuf((128, 16384), nl.bfloat16), _sbuf((128, 1), nl.float32)
            nisa.activation_reduce(dst=result, op=nl.square, data=data, reduce_op=nl.add, reduce_res=total)

    return _repeated("activation_reduce", body)


def _abs_max() -> Predictions:
    def body() -> None:
        result = _sbuf((128, 1), nl.float32)
        data = _filled((128, 16384), nl.bfloat16)
        nisa.tensor_reduce(dst=result, data=data, op=nl.maximum, axis=1)  # abs_max is not in this target's NKI

    return _repeated("tensor_reduce", body)


def _to_fp8() -> Predictions:
    def body() -> None:
        data, result = _filled((128, 16384), nl.bfloat16), _sbuf((128, 16384), nl.float8_e4m3)
        nisa.tensor_scalar(dst=result, data=data, op0=nl.multiply, operand0=2.0, engine=nisa.engine.vector)

    return _repeated("tensor_scalar", body)
