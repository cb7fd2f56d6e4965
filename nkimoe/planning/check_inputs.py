# SPDX-License-Identifier: Apache-2.0
"""Checks of input values on the host, before anything runs: what no shape can tell.

Every host door calls this: the command line, simulated launches, framework integrations. A device caller may.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from nkimoe.errors import InputError
from nkimoe.planning.finite_values import FINITE, check_finite, check_row_scales
from nkimoe.planning.mx.coded_rows import is_coded, packed_affinities, packed_width
from nkimoe.planning.option_types import check_option_types
from nkimoe.planning.request import Request
from nkimoe.planning.shares import block_range
from nkimoe.planning.slot_pairs import check_pairs
from nkimoe.planning.variants import DROPPING, VARIANTS
from nkimoe.spec import Pairs, ShardOnBlockConfig, SkipMode
from nkimoe.weights.int8 import exact_rows

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def checked_before_launch(check: Callable[..., None]) -> Callable[[Kernel], Kernel]:
    """A decorator: the simulator calls `check` with the host arrays before anything of the kernel runs."""

    def attach(kernel: Kernel) -> Kernel:
        kernel.check_inputs = check  # type: ignore[attr-defined]
        return kernel

    return attach


def check_call(**arguments: Any) -> None:
    """`check_inputs` behind the types of all arguments, which a launch takes apart before the kernel looks at them.

    Raises:
        RequestError: an argument has another type than its annotation says. InputError: as `check_inputs`.
    """
    check_option_types(Request.from_arguments(arguments))
    check_inputs(**arguments)


def check_inputs(**arguments: Any) -> None:
    """Check the values of `moe_cte`'s arguments; tensors are NumPy arrays, absent ones are skipped.

    Arguments of wrong types or sizes pass: values mean nothing then, and `validate` reports what is wrong.

    Raises:
        InputError: an id, expert or condition out of range; a token twice in a block; NaN or infinite values; a
            pad row that is not zero; tokens on both cores although non_overlapping_shards promises otherwise; more
            `exact_rows` than int8 weights have; `conditions` that end before a block with a token.
    """
    _check_int32(arguments)
    arguments = _taken_apart(arguments)
    if not _is_well_formed(arguments):
        return
    skip_token = (arguments.get("skip_dma") or SkipMode()).skip_token
    rows, experts = int(arguments["hidden_states"].shape[0]), int(arguments["gate_up_proj_weight"].shape[0])
    tokens = rows if skip_token else rows - 1
    ids, block_to_expert = (np.asarray(arguments[n]).reshape(-1) for n in ("token_position_to_id", "block_to_expert"))
    check_finite(arguments)
    _check_fits_fp16(arguments)
    _check_ids(ids, tokens, skip_token)
    _check_experts(block_to_expert, ((ids >= 0) & (ids < tokens)).reshape(-1, arguments["block_size"]), experts)
    _check_unique_in_blocks(ids, arguments["block_size"], tokens)
    _check_one_writer(arguments, ids, tokens)
    _check_own_blocks(arguments, block_to_expert)
    _check_positive(arguments)
    _check_exact_rows(arguments)
    if arguments.get("conditions") is not None:
        blocks = ids.reshape(-1, arguments["block_size"])
        _check_conditions(np.asarray(arguments["conditions"]).reshape(-1), (blocks >= 0) & (blocks < tokens))
    if isinstance(arguments.get("pairs"), Pairs):
        check_pairs(arguments["pairs"], ids, tokens)
    if not skip_token:
        _check_pad_row(arguments, experts)


def _taken_apart(arguments: dict[str, Any]) -> dict[str, Any]:
    """MXFP8 rows without their scales, and affinities that lie behind those as others."""
    rows, weight = arguments["hidden_states"], arguments["gate_up_proj_weight"]
    if not (is_coded(rows) and rows.ndim == 2 and getattr(weight, "ndim", 0) == 5):
        return arguments
    E, H = int(weight.shape[0]), 4 * 128 * int(weight.shape[3])
    check_row_scales(rows, H)
    taken = {"hidden_states": rows[:, :H]}
    if arguments["expert_affinities_masked"] is None and rows.shape[1] == packed_width(H, E):
        taken["expert_affinities_masked"] = packed_affinities(rows, H, E)
    return {**arguments, **taken}


def _check_int32(arguments: dict[str, Any]) -> None:
    for name in ("token_position_to_id", "block_to_expert", "conditions"):
        dtype = str(getattr(arguments.get(name), "dtype", "int32"))
        if dtype != "int32":
            raise InputError(name, "is int32", dtype, "Cast it.")


def _is_well_formed(arguments: dict[str, Any]) -> bool:
    """Whether sizes and types say how to read the values."""
    hidden, weight, block_size = (arguments[n] for n in ("hidden_states", "gate_up_proj_weight", "block_size"))
    ids, experts = arguments["token_position_to_id"], arguments["block_to_expert"]
    affinities = arguments["expert_affinities_masked"]
    with_slots = affinities is None and isinstance(arguments.get("pairs"), Pairs)
    tensors = (hidden, weight, ids, experts, *(() if with_slots else (affinities,)))
    return bool(
        all(hasattr(tensor, "shape") and hasattr(tensor, "dtype") for tensor in tensors)
        and isinstance(arguments.get("skip_dma"), SkipMode | None)
        and isinstance(getattr(arguments.get("spec"), "shard_on_block", None), ShardOnBlockConfig | None)
        and isinstance(block_size, (int, np.integer))
        and block_size > 0
        and len(hidden.shape) == 2
        and len(weight.shape) > 0
        and hidden.shape[0] * weight.shape[0] > 0
        and (with_slots or affinities.size == hidden.shape[0] * weight.shape[0])
        and ids.size == experts.size * block_size
        and all(str(tensor.dtype).startswith(("int", "uint")) for tensor in (ids, experts))
    )


def _check_fits_fp16(arguments: dict[str, Any]) -> None:
    """Tensors that are cast to fp16 on chip must not overflow there."""
    if str(arguments.get("compute_dtype")) != "float16":
        return
    largest = float(np.finfo(np.float16).max)
    for name in FINITE:
        values = arguments.get(name)
        if isinstance(values, np.ndarray) and str(values.dtype) in ("bfloat16", "float32") and values.size:
            found = max(float(values.max()), -float(values.min()))
            if found > largest:
                raise InputError(
                    name, f"is at most {largest:g} when compute_dtype is float16", f"{found:g}", "Use bfloat16."
                )


def _check_range(name: str, values: Any, low: int, high: int) -> None:
    bad = np.flatnonzero((values < low) | (values > high))
    if bad.size:
        raise InputError(
            name, f"holds values from {low} to {high}", f"{int(values[bad[0]])} at {int(bad[0])}",
            "Build the mapping with nkimoe.routing.build_block_mapping.",
        )  # fmt: skip


def _check_experts(block_to_expert: Any, is_token: Any, experts: int) -> None:
    """Blocks without tokens may name none, as packers write it: expert E, or -1. is_token: [N, B]."""
    _check_range("block_to_expert", block_to_expert, -1, experts)
    _check_range("block_to_expert", np.where(is_token.any(axis=1), block_to_expert, 0), 0, experts - 1)


def _check_ids(ids: Any, tokens: int, skip_token: bool) -> None:
    if not skip_token and np.any(ids == -1):
        raise InputError(
            "token_position_to_id", f"marks pads by {tokens}, the pad row, when skip_dma.skip_token is False",
            f"-1 at {int(np.flatnonzero(ids == -1)[0])}",
            "Pass skip_dma=SkipMode(skip_token=True), or build the mapping with skip_token=False.",
        )  # fmt: skip
    if skip_token:
        _check_range("token_position_to_id", ids, -1, tokens - 1)
    else:
        _check_range("token_position_to_id", ids, 0, tokens)


def _check_unique_in_blocks(ids: Any, block_size: int, tokens: int) -> None:
    """A token has at most one slot in a block: two would update one output row in the same scatter."""
    ordered = np.sort(ids.reshape(-1, block_size), axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0) & (ordered[:, 1:] < tokens)
    if twice.any():
        block, at = (int(i) for i in np.argwhere(twice)[0])
        raise InputError(
            "token_position_to_id", "names a token once a block", f"{int(ordered[block, at])} twice in block {block}",
            "Route a token to distinct experts.",
        )  # fmt: skip


def _check_one_writer(arguments: dict[str, Any], ids: Any, tokens: int) -> None:
    """Without accumulation a token has one block; with non_overlapping_shards, blocks of one core."""
    config = getattr(arguments.get("spec"), "shard_on_block", None)
    real = ids[(ids >= 0) & (ids < tokens)]
    if not arguments.get("is_tensor_update_accumulating", True) and np.unique(real).size != real.size:
        token = int(np.flatnonzero(np.bincount(real) > 1)[0])
        raise InputError(
            "is_tensor_update_accumulating", "is True when a token has several blocks", f"False for token {token}",
            "Pass True: overwriting would leave whichever block comes last.",
        )  # fmt: skip
    if config is not None and config.non_overlapping_shards:
        blocks = ids.reshape(-1, arguments["block_size"])
        halves = [blocks[block_range(config.block_sharding_strategy, len(blocks), 2, core).indices] for core in (0, 1)]
        both = np.intersect1d(*(h[(h >= 0) & (h < tokens)] for h in halves))
        if both.size:
            raise InputError(
                "spec.shard_on_block.non_overlapping_shards", "promises that no token has blocks on both cores",
                f"token {int(both[0])} has", "Drop the promise.",
            )  # fmt: skip


def _check_own_blocks(arguments: dict[str, Any], block_to_expert: Any) -> None:
    """In the capacity layout block b belongs to expert b."""
    implementation = getattr(arguments.get("spec"), "implementation", None)
    if implementation in VARIANTS and VARIANTS[implementation].schedule == DROPPING:
        wrong = np.flatnonzero(block_to_expert != np.arange(block_to_expert.size))
        if wrong.size:
            raise InputError(
                "block_to_expert", f"gives block b to expert b in {implementation.name}",
                f"{int(block_to_expert[wrong[0]])} at {int(wrong[0])}", "Reorder the blocks, or use shard_on_i.",
            )  # fmt: skip


def _check_positive(arguments: dict[str, Any]) -> None:
    """Activations are divided by their scale."""
    for name in ("gate_up_in_scale", "down_in_scale"):
        scale = arguments.get(name)
        if str(getattr(scale, "dtype", None)) == "float32" and not np.all(np.asarray(scale) > 0):
            raise InputError(name, "is positive", f"{float(np.asarray(scale).min()):g}", "Calibrate the activations.")


def _check_exact_rows(arguments: dict[str, Any]) -> None:
    """Sums of int8 products would be rounded if weights had fewer."""
    claimed = getattr(arguments.get("quantization_config"), "exact_rows", None)
    weights: list[Any] = [arguments.get(name) for name in ("gate_up_proj_weight", "down_proj_weight")]
    if not isinstance(claimed, int) or not all(_is_int8_matrices(weight) for weight in weights):
        return
    allowed = exact_rows(*weights)
    if claimed > allowed:
        raise InputError(
            "quantization_config.exact_rows", f"is at most {allowed} for these weights", str(claimed),
            "Compute it with nkimoe.weights.exact_rows.",
        )  # fmt: skip


def _is_int8_matrices(weight: Any) -> bool:
    return isinstance(weight, np.ndarray) and weight.dtype == np.int8 and weight.ndim >= 3


def _check_conditions(conditions: Any, is_token: Any) -> None:
    """Blocks behind the ones hold no token (bool [N, B]): variants that unroll them would compute it, others not."""
    _check_range("conditions", conditions, 0, 1)
    if np.any(np.diff(conditions) > 0):
        first = int(np.flatnonzero(np.diff(conditions) > 0)[0])
        raise InputError("conditions", "is ones, then zeros", f"a one after a zero at {first + 1}", "Sort the blocks.")
    ones = np.count_nonzero(conditions)
    if conditions.size >= len(is_token) and is_token[ones:].any():
        block = ones + int(np.flatnonzero(is_token[ones:].any(axis=1))[0])
        raise InputError(
            "conditions", "is 1 for each block that holds a token", f"0 for block {block}, which holds one",
            "Take BlockMapping.conditions; give the slots of blocks that are not to run the id of pads.",
        )  # fmt: skip


def _check_pad_row(arguments: dict[str, Any], experts: int) -> None:
    for name, pad in (
        ("hidden_states", arguments["hidden_states"][-1:]),
        (
            "expert_affinities_masked",
            np.asarray(arguments["expert_affinities_masked"]).reshape(-1)[-experts:],
        ),
    ):
        if np.any(np.asarray(pad) != 0):
            raise InputError(
                name, "ends in a pad row of zeros", "a nonzero pad row",
                "Append a zero row, or use skip_dma=SkipMode(skip_token=True) with pad ids of -1.",
            )  # fmt: skip
