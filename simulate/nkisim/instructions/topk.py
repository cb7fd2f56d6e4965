# SPDX-License-Identifier: Apache-2.0
"""topk: the k largest values of a 16-partition snake. Guards only."""

from __future__ import annotations

from nkisim.errors import NotSimulated, ShapeError
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass
from nkisim.operations import checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation

_REASON = (
    "the reference says that partitions work independently and that 16 of them hold one input: which "
    "partitions receive a result is open, and so is the order of equal values"
)


@instruction(cost=CostClass.search, on=Engine.gpsimd, refused=_REASON)
def topk(val_dst: NkiTensor, idx_dst: NkiTensor, src: NkiTensor, n: int, name: str | None = None) -> Operation:
    """Checks its arguments, then refuses: the reference leaves open which partitions receive what.

    val_dst bf16 and idx_dst uint32 would receive the n largest of src, bf16, and their positions.
    """
    checks.in_sbuf(("val_dst", val_dst), ("idx_dst", idx_dst), ("src", src))
    checks.dtype_in("src", src, ("bfloat16",))
    checks.dtype_in("val_dst", val_dst, ("bfloat16",))
    checks.dtype_in("idx_dst", idx_dst, ("uint32",))
    checks.writable("val_dst", val_dst)
    checks.writable("idx_dst", idx_dst)
    rows, k = src.shape[0], checks.free_size(val_dst)
    if rows % 16 or val_dst.shape != idx_dst.shape or val_dst.shape[0] != rows:
        raise ShapeError(
            "src, val_dst and idx_dst have the same partitions, a multiple of 16, and the results one shape",
            f"{src.shape}, {val_dst.shape} and {idx_dst.shape}",
            "Fix the shapes.",
        )
    if not 8 <= n < 65536 or not 1 <= k < 32768 or k > n or checks.free_size(src) * 16 < n:
        raise ShapeError(
            "8 <= n < 65536, 1 <= k < 32768, k <= n, and src holds n elements in 16 partitions",
            f"n {n}, k {k}, src {src.shape}",
            "Fix n or the shapes.",
        )
    raise NotSimulated("nisa.topk is not simulated", _REASON, "Use max8 and nc_match_replace8.")
