# SPDX-License-Identifier: Apache-2.0
"""`moe_cte` with nkilib's results: slabs where it accumulates."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import nki

from nkimoe import moe_cte as own
from nkimoe.planning.check_inputs import check_inputs
from nkimoe.spec import MoECTESpec


def slabs_where_nkilib_has_them(spec: MoECTESpec, is_accumulating: bool) -> MoECTESpec:
    """The spec with `per_core_output`, if its implementation splits blocks and accumulates."""
    config = spec.shard_on_block
    if config is None or not is_accumulating or config.non_overlapping_shards:
        return spec
    return replace(spec, shard_on_block=replace(config, per_core_output=True))


def kernel(signature: inspect.Signature) -> Callable[[Callable[..., Any]], Any]:
    """Make a function of one dictionary of arguments a kernel that takes them by `signature`."""

    def decorate(function: Callable[[dict[str, Any]], Any]) -> Any:
        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            return function(dict(bound.arguments))

        called.__signature__ = signature  # type: ignore[attr-defined]
        called.check_inputs = check_inputs  # type: ignore[attr-defined]
        return nki.jit(called)

    return decorate


def by_name_behind(signature: inspect.Signature, last: str) -> inspect.Signature:
    """The signature with only arguments up to `last` by position: nki-library 2.30 moved some behind."""
    names = list(signature.parameters)
    by_name = names[names.index(last) + 1 :]
    return signature.replace(
        parameters=[
            each.replace(kind=inspect.Parameter.KEYWORD_ONLY) if each.name in by_name else each
            for each in signature.parameters.values()
        ]
    )


@kernel(by_name_behind(inspect.signature(own), "spec"))
def moe_cte(arguments: dict[str, Any]) -> Any:
    """`nkimoe.moe_cte`, but [T', 2, H] (shard_on_block) or [2, T', H] (shard_on_block_mx) where it accumulates."""
    spec = slabs_where_nkilib_has_them(arguments["spec"], arguments["is_tensor_update_accumulating"])
    return own(**{**arguments, "spec": spec})
