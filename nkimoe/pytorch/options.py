# SPDX-License-Identifier: Apache-2.0
"""How layers called from torch are run: a value, and the one in force."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any

from nkimoe.errors import RequestError, require
from nkimoe.planning.targets import TARGETS
from nkimoe.planning.variants import VARIANTS, Variant
from nkimoe.spec import BlockShardStrategy, MoECTEImplementation
from nkimoe.weights import MX_FORMATS

AUTO = "auto"
PLAIN, INT8, FP8_BLOCK = "plain", "int8", "fp8-block"
WEIGHT_FORMATS = (PLAIN, "fp8-row", "fp8-static", FP8_BLOCK, INT8, *MX_FORMATS)
DTYPES = ("bfloat16", "float16")


@dataclass(frozen=True)
class Options:
    """How `moe_cte` is called.

    Attributes:
        variant: name of a `MoECTEImplementation`, or "auto": the one that the model of cost estimates to be fastest for
            a layer (`nkimoe.choosing`).
        target: machine to simulate, "trn2" or "trn3"; on a Neuron device, what it is.
        cores: NeuronCores of a launch, 1 or 2.
        block_size: B, slots a block; None: chosen likewise, but in a graph, and where how many pairs are here is a
            matter of values.
        strategy: name of a `BlockShardStrategy`, where cores split blocks, or "auto".
        weights: "plain", as the model has them, or quantised when packed (inference only): "fp8-row", "fp8-static",
            "fp8-block", a scale for 128 x 128, "int8", whose activations become int8, too, and for the MX variants
            "mxfp8", "mxfp8-e5m2", "mxfp4".
        dtype: what float32 models are computed in, since the kernel takes 16 bits; other models keep theirs.
        strict: refuse what the kernel cannot do; False: let the model do it in torch, with a warning. Read by
            `nkimoe.hf`.

    Raises:
        RequestError: a name that does not exist, or weights or a target that the variant does not take.
    """

    variant: str = AUTO
    target: str = "trn2"
    cores: int = 2
    block_size: int | None = None
    weights: str = PLAIN
    dtype: str = "bfloat16"
    strict: bool = True
    strategy: str = AUTO

    def __post_init__(self) -> None:
        for name, known in (
            ("variant", (AUTO, *MoECTEImplementation.__members__)),
            ("strategy", (AUTO, *BlockShardStrategy.__members__)),
            ("target", tuple(TARGETS)),
            ("cores", (1, 2)),
            ("weights", WEIGHT_FORMATS),
            ("dtype", DTYPES),
        ):
            value = getattr(self, name)
            if value not in known:
                raise RequestError(name, f"is one of {', '.join(map(str, known))}", repr(value), "Choose one of these.")
        is_size = self.block_size is None or (isinstance(self.block_size, int) and self.block_size > 0)
        require(is_size, "block_size", "is a positive int or None", repr(self.block_size), "None suits most layers.")
        if self.variant == AUTO:
            fits = self.weights not in MX_FORMATS or TARGETS[self.target].has_mx
            fix = "Choose trn3, or other weights."
            require(fits, "target", f"takes weights in {self.weights}", repr(self.target), fix)
        else:
            self._check_variant(VARIANTS[MoECTEImplementation[self.variant]])

    @property
    def carries_weights(self) -> bool:
        """Whether integers stand for weights of a type that torch does not have."""
        return self.weights not in (PLAIN, INT8)

    def _check_variant(self, takes: Variant) -> None:
        targets = ", ".join(takes.targets)
        rule = f"is {targets} for {self.variant}"
        require(self.target in takes.targets, "target", rule, repr(self.target), "Choose it, or another variant.")
        if takes.is_mx != (self.weights in MX_FORMATS):
            formats = MX_FORMATS if takes.is_mx else [name for name in WEIGHT_FORMATS if name not in MX_FORMATS]
            fix = "Choose one of these, or another variant."
            raise RequestError("weights", f"is one of {', '.join(formats)} for {self.variant}", repr(self.weights), fix)


_IN_FORCE = [Options()]  # a plain list, which torch.compile can read and guard; a context variable it cannot


def current_options() -> Options:
    """The options in force."""
    return _IN_FORCE[-1]


@contextmanager
def options(base: Options | None = None, **changes: Any) -> Iterator[Options]:
    """Within the block, layers run with `base` (by default the options in force) and `changes`, in all threads.

    Raises:
        RequestError: an option or a value that does not exist.

    >>> with options(variant="shard_on_i", cores=1):
    ...     current_options().variant
    'shard_on_i'
    """
    _check_names(changes)
    _IN_FORCE.append(replace(base or current_options(), **changes))
    try:
        yield current_options()
    finally:
        _IN_FORCE.pop()


def _check_names(changes: dict[str, Any]) -> None:
    known = [each.name for each in fields(Options)]
    for name in changes:
        near = get_close_matches(name, known, n=1)
        fix = f"Did you mean {near[0]}?" if near else "Drop it."
        require(name in known, name, f"is one of the options {', '.join(known)}", "no option of this name", fix)
