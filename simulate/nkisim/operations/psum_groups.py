# SPDX-License-Identifier: Apache-2.0
"""Whether a matmul starts a sum in PSUM or continues one."""

from __future__ import annotations

from nkisim.dtypes import Array
from nkisim.errors import AccumulationError, InvalidInput
from nkisim.execution.neuron_core import current_core
from nkisim.memory import NEVER, ZEROED, NkiTensor, grouped, is_its_own, lowest_state, own_states, resolve
from nkisim.operations.notes import note


def continues(dst: NkiTensor, asked: bool | None) -> bool | Array:
    """Whether this matmul adds to what is in PSUM; an array says it of each element of `dst` where they differ.

    None means that the first write to a tensor overwrites and later ones accumulate, as the compiler infers it. What
    another tensor at the same address left behind is no write to this one; after zeros both come to the same.
    """
    if (asked is not None and not asked) or current_core().only_traces:
        return False
    region, adds = resolve(grouped(dst, 32)), True
    lowest, own = lowest_state(region), is_its_own(region)
    if asked is None and not own.any():
        return False  # all of it is new to this tensor, so this matmul starts a group
    if asked is None and not own.all():
        states = own_states(region)
        adds = states != NEVER
        lowest = states[adds].min()
    if lowest < ZEROED and (lowest == NEVER or current_core().machine.generation < 4):
        raise _nothing_to_continue(dst, lowest)
    if asked and lowest == ZEROED and current_core().machine.generation < 4:
        note(_added_to_zeros(dst))
    return adds


def _nothing_to_continue(dst: NkiTensor, lowest: int) -> AccumulationError:
    found = "bytes that were never written" if lowest == NEVER else "values that no matmul wrote"
    return AccumulationError(
        "a matmul accumulates onto the result of another matmul",
        f"{found} in the {dst.storage}",
        "Start the group with accumulate=False; add other values after the matmul.",
    )


def _added_to_zeros(dst: NkiTensor) -> InvalidInput:
    return InvalidInput(
        "before NeuronCore-v4 accumulate=True is defined onto the result of another matmul only",
        f"zeros in the {dst.storage}, to which adding is simulated",
        "Start the group with accumulate=False, or leave accumulate out.",
    )
