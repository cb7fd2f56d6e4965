"""Values that no argument of `moe_cte` means, and whether a call that has one ends in a refusal by name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nkimoe import RequestError, moe_cte
from nkisim.errors import LaunchError

ODD = (
    None, True, "yes", "", 0, -1, 1.5, math.nan, 10**30, [], [1, 2], {}, object(), b"x", len, np.float32, np.int64(3),
    np.array("x"), np.zeros(()), np.zeros(0), np.zeros((2, 0, 3), np.int32), np.array([None]), np.zeros((2, 2), bool),
)  # fmt: skip


def names_what_it_refuses(call: dict[str, Any], name: str) -> bool:
    """Also where the launch refuses an array, of a type that no kernel takes. A call that is accepted is fine."""
    try:
        moe_cte[2](**call)
    except RequestError as error:
        return bool(error.argument)
    except LaunchError as error:
        return f"argument {name}" in str(error)
    return True
