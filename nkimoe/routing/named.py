# SPDX-License-Identifier: Apache-2.0
"""Routings by the names that a command line gives them."""

from __future__ import annotations

from nkimoe.errors import InputError, require
from nkimoe.routing.made_up import UNIFORM, GivenRouting, ZipfRouting
from nkimoe.routing.recorded import read_routing

ZIPF = "zipf:"


def routing_named(name: str, layer: int | None = None) -> GivenRouting:
    """`uniform`, `zipf:EXPONENT`, or the record in a file, of one layer or its first.

    Raises:
        RequestError: it is none of these, or the layer is not in the file. OSError: there is no such file.

    >>> routing_named("uniform"), routing_named("zipf:1.2")
    (ZipfRouting(exponent=0.0), ZipfRouting(exponent=1.2))
    """
    if name != UNIFORM.name and not name.startswith(ZIPF):
        return read_routing(name).of_layer(layer)
    require(layer is None, "routing-layer", "is a layer of a file", layer, "Leave it out.")
    if name == UNIFORM.name:
        return UNIFORM
    try:
        exponent = float(name.removeprefix(ZIPF))
    except ValueError:
        raise InputError("routing", "has a number behind zipf:", name, "Write zipf:1.0.") from None
    return ZipfRouting(exponent)
