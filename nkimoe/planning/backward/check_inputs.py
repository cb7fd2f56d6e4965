# SPDX-License-Identifier: Apache-2.0
"""Checks of input values of `moe_cte_backward` on the host, before anything runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkimoe.errors import InputError
from nkimoe.planning.backward.request import BACKWARD_SPEC, BackwardRequest
from nkimoe.planning.check_inputs import check_inputs
from nkimoe.planning.option_types import check_option_types


def check_backward_inputs(**arguments: Any) -> None:
    """Check the values of `moe_cte_backward`'s arguments; tensors are NumPy arrays.

    Raises:
        RequestError: an argument has another type than its annotation says.
        InputError: what `nkimoe.planning.check_inputs` refuses; blocks of an expert that do not follow each other.
    """
    check_option_types(BackwardRequest.from_arguments({"spec": BACKWARD_SPEC, **arguments}))
    check_inputs(**arguments)
    experts = np.asarray(arguments["block_to_expert"]).reshape(-1)
    exists = (experts >= 0) & (experts < arguments["gate_up_proj_weight"].shape[0])
    begins = np.flatnonzero(np.append(True, experts[1:] != experts[:-1]) & exists)
    again = [int(b) for b in begins if experts[b] in experts[:b]]
    if again:
        raise InputError(
            "block_to_expert", "names an expert in blocks that follow each other, since its gradients are written once",
            f"expert {int(experts[again[0]])} again at {again[0]}", "Sort the blocks by expert.",
        )  # fmt: skip
