"""Whether a matmul starts a sum in PSUM or continues one."""

from __future__ import annotations

from nkisim.errors import AccumulationError
from nkisim.execution.neuron_core import current_core
from nkisim.memory import MATMUL, NEVER, ZEROED, NkiTensor, all_its_own, grouped, lowest_state, resolve


def continues(dst: NkiTensor, asked: bool | None) -> bool:
    """Whether this matmul adds to what is in PSUM.

    None means that the first write to a tensor overwrites and later ones accumulate, as the compiler infers it. What
    another tensor at the same address left behind is no write to this one; after zeros both come to the same.
    """
    if (asked is not None and not asked) or current_core().only_traces:
        return False
    region = resolve(grouped(dst, 32))
    lowest = lowest_state(region)
    if asked is None and (lowest == NEVER or not all_its_own(region)):
        return False  # part of it is new to this tensor, so this matmul starts a group
    if lowest >= (MATMUL if asked else ZEROED) or (lowest != NEVER and current_core().machine.generation >= 4):
        return True
    found = "bytes that were never written" if lowest == NEVER else "values that no matmul wrote"
    raise AccumulationError(
        "a matmul accumulates onto the result of another matmul",
        f"{found} in the {dst.storage}",
        "Start the group with accumulate=False; add other values after the matmul.",
    )
