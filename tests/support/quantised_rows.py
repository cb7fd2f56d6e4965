"""The rowwise quantisers beside their definitions, on shapes that take every path of their kernel."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkimoe import ops
from nkimoe.reference import row_quantisation as definitions
from support.row_cases import assert_equal_codes, layer

SMOOTH: tuple[tuple[dict[str, Any], int, dict[str, Any]], ...] = (  # of the layer, cores, options
    ({"T": 300, "H": 1700, "E": 50}, 2, {}),
    ({"T": 50, "H": 64, "E": 150, "k": 4}, 1, {}),
    ({"T": 40, "H": 96, "E": 300, "k": 3}, 1, {"order": "token_major"}),  # more experts than are selected by the PE
    ({"T": 130, "H": 2500, "E": 4, "k": 2}, 1, {"rounding": "trunc"}),
    ({"T": 20, "H": 64, "E": 4, "k": 2}, 2, {"rounding": "away", "zero_row": "plus", "out_stride": 70}),
    ({"T": 3, "H": 30000, "E": 3, "k": 2, "dtype": "float32"}, 1, {}),  # rows that do not fit
)


def check_quantised_rows() -> None:
    """Some ids name no expert, and some rows are zero or lie between two codes."""
    for sizes, cores, options in SMOOTH:
        x, smooth, ids = layer(**sizes)
        x[1], ids[::7, 0], ids[2, 1] = 0, -1, sizes["E"]
        found = ops.moe_smoothquant[cores](x, smooth, ids, **options)
        assert found[0].strides[0] == options.pop("out_stride", sizes["H"])
        assert_equal_codes(found, definitions.moe_smoothquant_reference(x, smooth, ids, **options))
    x = np.random.default_rng(1).integers(-40, 41, (200, 130)).astype(np.float32) / 8
    for found, expected in zip(ops.quantize_per_token_int8[2](x), definitions.quantize_int8_reference(x), strict=True):
        np.testing.assert_array_equal(found, expected)
    wide, smooth, _ = layer(3, 30000)
    assert_equal_codes(ops.smoothquant(wide, smooth[0]), definitions.smoothquant_reference(wide, smooth[0]))
    halves = np.arange(-254, 255, dtype=np.float32)[None] / 2  # the scale is 1
    for rounding in ("away", "trunc"):
        codes, _ = ops.smoothquant(halves, np.ones(halves.size, np.float32), rounding=rounding)
        away = np.copysign(np.floor(np.abs(halves) + 0.5), halves)
        np.testing.assert_array_equal(codes, away if rounding == "away" else np.trunc(halves))
