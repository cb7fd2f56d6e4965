# SPDX-License-Identifier: Apache-2.0
"""rng: random bits on the Vector Engine or GpSimd."""

from __future__ import annotations

from nkisim.errors import DtypeError
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation
from nkisim.operations.random_numbers import generators, lanes_of


@instruction(cost=CostClass.random, on=(Engine.vector, Engine.gpsimd))
def rng(dst: NkiTensor, engine: Engine = Engine.vector, name: str | None = None) -> Operation:
    """dst = the low bits of random 32-bit words. The bit stream differs from the hardware's (see random_numbers).

    ```python
    bits = nl.ndarray((128, 512), nl.uint32, buffer=nl.sbuf)
    nisa.rng(dst=bits)
    ```
    """
    checks.on_chip(("dst", dst))
    checks.writable("dst", dst)
    if not dst.dtype.is_integer:
        raise DtypeError("dst of rng is an integer tile", f"{dst.dtype}", "Convert the integers with tensor_scalar.")
    unit = checks.choose_engine(engine, (Engine.vector, Engine.gpsimd), Engine.vector)
    if unit is Engine.gpsimd:
        checks.generation(3, "rng on GpSimd")
    checks.gpsimd_stays_out_of_psum(unit, ("dst", dst))
    source, lanes, count = generators(unit), lanes_of(dst), checks.free_size(dst)
    unsigned = f"u{dst.dtype.itemsize}"

    return Operation(
        unit, (), (dst,), lambda: source.draw(lanes, count).astype(unsigned).view(dst.dtype.numpy), Work(count),
        name=name,
    )  # fmt: skip
