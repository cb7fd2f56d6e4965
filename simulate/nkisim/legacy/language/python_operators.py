# SPDX-License-Identifier: Apache-2.0
"""What Python's operators and item assignment do with tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nkisim.legacy.isa.operands import copied, tile, write_into
from nkisim.legacy.isa.transfer import loaded, stored
from nkisim.legacy.issue import broadcast, issue, whole_block
from nkisim.legacy.language.elementwise import binary, negative, unary
from nkisim.legacy.moving import put, values_of
from nkisim.legacy.operators import CORE
from nkisim.legacy.programs import without_time
from nkisim.legacy.tile import OPERATORS, Tile
from nkisim.memory import MemoryRegion, resolve, write
from nkisim.nki import isa as core

_SIGNS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "pow": "power", "mod": "mod",
    "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor", "lshift": "left_shift", "rshift": "right_shift",
}  # fmt: skip
_COMPARED = {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal",
}  # fmt: skip
_OF_INDICES = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "mod": np.mod, "lt": np.less, "le": np.less_equal,
    "gt": np.greater, "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal,
}  # fmt: skip


def _operator(sign: str, name: str, reverse: bool = False) -> Callable[[Tile, Any], Any]:
    def call(self: Tile, other: Any) -> Any:
        if isinstance(other, np.ndarray) and other.ndim > 0 and sign in _OF_INDICES:  # an index known when it runs
            known = self.values().astype(np.int64)
            return _OF_INDICES[sign](other, known) if reverse else _OF_INDICES[sign](known, other)
        in_hbm = self.buffer.is_hbm or (isinstance(other, Tile) and other.buffer.is_hbm)
        if in_hbm and sign in ("eq", "ne"):
            return (self is other) == (sign == "eq")
        if other is None:
            return sign == "ne"
        pair = (other, self) if reverse else (self, other)
        return binary(name, *pair)

    return call


def _in_place(name: str) -> Callable[[Tile, Any], Tile]:
    def call(self: Tile, other: Any) -> Tile:
        if name == "add" and isinstance(other, Tile) and _accumulated(self, other):
            return self
        same = isinstance(other, Tile) and other.shape == self.shape and self.buffer is MemoryRegion.sbuf
        if same and name != "divide" and self.dtype == "float32":
            right = other if other.home is not self.home else copied(other)
            issue(lambda dst, a, b: core.tensor_tensor(dst, a, b, op=CORE[name]), self, [self, right])
            return self
        assign(self, ..., binary(name, self, other))
        return self

    return call


def _accumulated(total: Tile, product: Tile) -> bool:
    """Add a new product to a tile in PSUM as the Tensor Engine does: where it writes, at no other cost."""
    if total.buffer is not MemoryRegion.psum or product.buffer is not MemoryRegion.psum:
        return False
    if total.dtype != "float32" or product.dtype != "float32" or total.size != product.size:
        return False
    old = None if _starts_sum(total) else values_of(total.home, total.spread)
    total.home.sums.add(total.spread.layout)
    block = whole_block(total)
    if block is None or not product.is_whole or (added := total.home.take(block, product.home)) is None:
        without_time()
        new = values_of(product.home, product.spread).reshape(total.shape)
        put(total.home, total.spread, new if old is None else new + old)
    elif old is not None:
        write(resolve(total.home.piece(block)), added + old.reshape(added.shape))
    return True


def _starts_sum(total: Tile) -> bool:
    """Whether nothing was added to this part before, so that the first product overwrites it."""
    home = total.home
    if home.assigned or total.spread.layout in home.sums:
        return False
    return home.fill is None or (home.fill == 0 and not home.sums)


def assign(self: Tile, key: Any, value: Any) -> None:
    """`tile[key] = value`."""
    dst = self[key]
    if isinstance(value, Tile) and value.home is dst.home and value.spread == dst.spread:
        return
    if dst.buffer.is_hbm:
        stored(dst, value)
    elif not isinstance(value, Tile):
        if isinstance(value, np.ndarray) and value.ndim > 0:
            write_into(dst, tile(value))
            return
        number = int(value) if dst.dtype.is_integer else float(value)
        issue(lambda out: core.memset(out, number), dst, [])
    elif value.buffer.is_hbm:
        assign(self, key, loaded(value))
    else:
        _assigned(dst, value)


def _assigned(dst: Tile, value: Tile) -> None:
    block = whole_block(dst)
    if (
        block is not None
        and value.is_whole
        and value.size == dst.size
        and (dst.home.take(block, value.home) is not None)
    ):
        return
    if value.shape != dst.shape:
        value = value.reshape(dst.shape) if value.size == dst.size else broadcast(value, dst.shape)
    write_into(dst, value)


def _astype(self: Tile, dtype: Any) -> Tile:
    return copied(tile(self), dtype)


def _invert(self: Tile) -> Tile:
    return unary(CORE["invert"], self, None, None)


for _sign, _name in _SIGNS.items():
    OPERATORS[_sign] = _operator(_sign, _name)
    OPERATORS[f"r{_sign}"] = _operator(_sign, _name, reverse=True)
    OPERATORS[f"i{_sign}"] = _in_place(_name)
for _sign, _name in _COMPARED.items():
    OPERATORS[_sign] = _operator(_sign, _name)
OPERATORS |= {
    "neg": negative, "invert": _invert, "abs": lambda self: unary(CORE["abs"], self, None, None),
    "setitem": assign, "astype": _astype,
}  # fmt: skip
