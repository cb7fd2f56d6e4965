"""Kernels that are public in NKI 0.1 and in the current NKI: where they lie in their checkouts, and arguments."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np
from support.modules import module_of

Named = dict[str, Any]
_OLDER = re.compile(r"^\s*(?:import|from) neuronxcc", re.MULTILINE)


@dataclass(frozen=True)
class Pair:
    """A kernel in both dialects.

    Attributes:
        old_file, new_file: how their paths end; old, new: the kernels' names.
        arguments: by the old kernel's names, from a generator, at best of two tiles along each loop and of sizes that
            differ; grid: of the old kernel.
    """

    old_file: str
    new_file: str
    old: str
    new: str
    arguments: Callable[[np.random.Generator], Named]
    grid: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The kernel's name, behind that of its file where it says nothing."""
        return self.new if self.new != "ref" else f"{Path(self.new_file).stem}: ref"


@dataclass(frozen=True)
class Found:
    """A pair whose files are there."""

    pair: Pair
    old_file: Path
    new_file: Path

    def old_kernel(self) -> Any:
        """The kernel of NKI 0.1, on its grid."""
        kernel = getattr(_module(self.old_file, "older"), self.pair.old)
        return kernel[self.pair.grid] if self.pair.grid else kernel

    def new_module(self) -> ModuleType:
        """The module with the current kernel."""
        return _module(self.new_file, "newer")


def _module(file: Path, age: str) -> ModuleType:
    return module_of(file, re.sub(r"\W", "_", f"{age}_{file.parent.name}_{file.stem}"), file.parent)


def found_in(checkouts: Path) -> Iterator[Found]:
    """The pairs whose files lie below a folder: of several old or new versions, the first whose name sorts first."""
    files = sorted(checkouts.rglob("*.py"))
    for pair in PAIRS:
        old = next((file for file in files if _is(file, pair.old_file, pair.old) and is_older(file)), None)
        new = next((file for file in files if _is(file, pair.new_file, pair.new) and not is_older(file)), None)
        if old is not None and new is not None:
            yield Found(pair, old, new)


def is_older(file: Path) -> bool:
    """Whether a file imports NKI 0.1."""
    return bool(_OLDER.search(file.read_text("utf-8", errors="replace")))


def _is(file: Path, tail: str, kernel: str) -> bool:
    return file.as_posix().endswith("/" + tail) and f"def {kernel}(" in file.read_text("utf-8", errors="replace")


def _normal(dtype: Any = np.float32, **shapes: tuple[int, ...]) -> Callable[[np.random.Generator], Named]:
    return lambda random: {name: random.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def _and(make: Callable[[np.random.Generator], Named], **rest: Any) -> Callable[[np.random.Generator], Named]:
    return lambda random: {**make(random), **rest}


def _tutorial(file: str, old: str, arguments: Callable[[np.random.Generator], Named], **rest: Any) -> Pair:
    return Pair(file, file, old, rest.pop("new", old), arguments, **rest)


def _harness(name: str, kernel: str, arguments: Callable[[np.random.Generator], Named]) -> Pair:
    old, new = (f"{name.replace('/', f'-nki{n}/')}_test.py" for n in (1, 2))
    return Pair(old, new, kernel, kernel, arguments)


def _product(depth: int, rows: int, columns: int) -> Callable[[np.random.Generator], Named]:
    return _normal(ml_dtypes.bfloat16, lhsT=(depth, rows), rhs=(depth, columns))


def _scan(steps: int) -> Callable[[np.random.Generator], Named]:
    return _normal(delta=(1, 128, steps), u=(1, 128, steps), A=(128, 4), B=(1, 4, steps), C=(1, 4, steps))


_MATMUL = "matrix_multiplication/matrix_multiplication_nki_kernels.py"
_MAMBA = "fused_mamba/mamba_nki_kernels.py"
PAIRS = (
    _tutorial("tensor_addition/tensor_addition_nki_kernels.py", "nki_tensor_add_kernel_",
              _normal(a_input=(256, 1024), b_input=(256, 1024)), new="nki_tensor_add", grid=(2, 2)),
    _tutorial("transpose2d/transpose2d_nki_kernels.py", "tensor_transpose2D_kernel_",
              _and(_normal(in_tensor=(64, 20)), shape2D=(4, 5))),
    _tutorial("average_pool2d/average_pool2d_nki_kernels.py", "tensor_avgpool_kernel",
              _and(_normal(in_tensor=(32, 6, 6)), pool_size=2)),
    _tutorial(_MATMUL, "nki_matmul_basic_", _product(128, 64, 512)),
    _tutorial(_MATMUL, "nki_matmul_tiled_", _product(384, 256, 1024)),
    _tutorial(_MATMUL, "nki_matmul_hoist_load_", _product(384, 256, 1024)),
    _tutorial(_MATMUL, "nki_matmul_block_free_dimension_", _product(384, 256, 1024)),
    _tutorial(_MATMUL, "nki_matmul_fully_optimized_", _product(1024, 2048, 1024)),
    _tutorial(_MAMBA, "mamba_v1", _scan(64)),
    _tutorial(_MAMBA, "mamba_v2", _scan(64)),
    _tutorial(_MAMBA, "mamba_v3", _scan(1024)),
    _harness("trn-tutorial/0_rmsnorm", "ref", _normal(a_tensor=(200, 600), g_tensor=(600,))),
    _harness("trn-tutorial/1_layernorm", "nki_layernorm_kernel_v2", lambda random: {
        "input_tensor": random.standard_normal((200, 512), np.float32), "epsilon": 1e-5,
        **_normal(gamma_vector=(512,), beta_vector=(512,))(random)}),
    _harness("trn-tutorial/4_attention", "ref", _normal(q=(128, 512), k=(128, 512), v=(128, 512))),
    _harness("trn-tutorial/5_sdattention", "ref", _normal(q_ref=(512, 64), k_ref=(512, 64), v_ref=(512, 64))),
    _harness("trn-advanced/0_cumsum", "ref", _normal(x=(130, 2100))),
    _harness("trn-advanced/1_transpose", "ref", _and(_normal(ref=(32, 40, 24)), dim=1)),
    _harness("trn-advanced/2_maxpool", "ref", _and(_normal(in_tensor=(150, 60)), pool_size=3)),
    _harness("trn-advanced/3_rope", "ref", _normal(x_in=(128, 256), cos=(64, 256), sin=(64, 256))),
    _harness("trn-advanced/4_conv1d", "ref", _and(
        _normal(img_ref=(2, 128, 1, 64), filter_ref=(128, 1, 1, 3)), padding=((0, 0), (1, 1)))),
)  # fmt: skip
