"""What nkisim does not carry out, and why. It refuses by name; none is guessed."""

from __future__ import annotations

REASONS: dict[str, str] = {
    "topk": "the reference says that partitions work independently and that 16 of them hold one input: which "
    "partitions receive a result is open, and so is the order of equal values",
}
"""Instructions of `nki.isa` that check their arguments and then refuse: name -> reason."""

LIMITS: dict[str, str] = {
    "activation": "nl.prelu is refused: there is no operand for its slope",
    "nc_match_replace8": "dst_idx for a value that does not occur is refused: what it receives is not documented",
    "nc_matmul": "tile_position without tile_size, or the reverse, is refused: whether one has an effect is open",
    "nc_matmul_mx": "tile_position without tile_size, or the reverse, is refused: whether one has an effect is open",
    "quantize_mx": "NaN and infinity in src are refused: their scale is not documented",
    "range_select": "reduce_cmd.reset and load_reduce, and a float8_e4m3fn dst, are refused: the reference gives "
    "neither the value loaded nor a fill value for a type without infinity",
}
"""Cases that an instruction nkisim has refuses with `NotSimulated`: name -> case and reason."""
