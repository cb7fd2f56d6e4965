"""Instructions of `nki.isa` that nkisim does not carry out yet. They refuse by name; none is guessed."""

from __future__ import annotations

from typing import Any, NoReturn

from nkisim.errors import NotSimulated

_MX = "MX matmul and quantisation arrive with the MX kernels"
REASONS: dict[str, str] = {"nc_matmul_mx": _MX, "quantize_mx": _MX}


def refused(name: str) -> Any:
    """A function called `name` that raises `NotSimulated` with its reason."""

    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise NotSimulated(f"nisa.{name} is not simulated", REASONS[name], "See docs/simulator/differences.md.")

    refuse.__name__ = refuse.__qualname__ = name
    refuse.__doc__ = f"Refused: {REASONS[name]}."
    return refuse
