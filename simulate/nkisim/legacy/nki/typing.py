# SPDX-License-Identifier: Apache-2.0
"""The names of `neuronxcc.nki.typing`."""

from nkisim.language.annotations import mutable_tensor, tensor
from nkisim.legacy.tile import Tile as _Tile

scalar = float
tile = _Tile

__all__ = ["mutable_tensor", "scalar", "tensor", "tile"]
