"""A program that grows statement by statement, with the values its tiles have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fuzz.kernels import meaning
from fuzz.kernels.meaning import DTYPES, Unfit

QUADRANT, PARTITIONS = 32, 128


@dataclass(frozen=True)
class Tile:
    """A tensor on chip [partitions, elements]; buffer is "sbuf" or "psum"."""

    name: str
    shape: tuple[int, int]
    dtype: str
    buffer: str = "sbuf"

    @property
    def made(self) -> str:
        """The line that allocates it."""
        return f"{self.name} = nl.ndarray({self.shape}, nl.{self.dtype}, buffer=nl.{self.buffer})"


@dataclass(frozen=True)
class Statement:
    """One step in both languages.

    Attributes:
        kernel, meaning: lines.
        tile: what it makes, if anything.
        output: the name of an output it makes, and whether its bits are known.
        inputs: arguments of the program that it brings: name to the call that draws them.
        exchange: between the two cores before its meaning: the name that each has for what the other's text is worth.
    """

    kernel: list[str]
    meaning: list[str]
    tile: Tile | None = None
    output: tuple[str, bool] | None = None
    inputs: dict[str, str] = field(default_factory=dict)
    exchange: tuple[str, str] | None = None


@dataclass
class Draft:
    """What has been said so far.

    Attributes:
        cores: 1 or 2; both run every statement, with `core` 0 and 1.
        values: a namespace a core, in which the meaning has been run.
    """

    rng: np.random.Generator
    target: str
    cores: int
    statements: list[Statement] = field(default_factory=list)
    tiles: list[Tile] = field(default_factory=list)
    _names: int = 0

    def __post_init__(self) -> None:
        self.values: list[dict[str, Any]] = [{**vars(meaning), "np": np, "core": core} for core in range(self.cores)]

    def name(self, letter: str) -> str:
        """A new one."""
        self._names += 1
        return f"{letter}{self._names}"

    def choose(self, *options: Any) -> Any:
        """One of them."""
        return options[self.rng.integers(len(options))]

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def number(self, low: int, high: int) -> int:
        """low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def dtype(self, *left_out: str) -> str:
        """Any type of the target but those."""
        return str(self.choose(*all_types(self, *left_out), "float32", "bfloat16"))

    def pick(self, fits: Callable[[Tile], bool] = lambda tile: True) -> Tile:
        """A tile, the later the likelier.

        Raises:
            Unfit: there is none.
        """
        found = [tile for tile in self.tiles if fits(tile)]
        if not found:
            raise Unfit("no such tile")
        return found[max(self.number(0, len(found) - 1) for _ in range(2))]

    def view(self, tile: Tile, rows: int, columns: int) -> str:
        """Text of so many rows and columns of a tile, from anywhere the hardware may start."""
        step = QUADRANT if rows <= 32 else 64 if rows <= 64 else 128
        start = step * self.number(0, (tile.shape[0] - rows) // step)
        stride = self.number(1, max(1, min(3, (tile.shape[1] - 1) // max(columns - 1, 1))))
        first = self.number(0, tile.shape[1] - (columns - 1) * stride - 1)
        last = first + (columns - 1) * stride + 1
        by = f":{stride}" if stride > 1 else ""
        return f"{tile.name}[{start}:{start + rows}, {first}:{last}{by}]"

    def pair(self, one: Tile, two: Tile) -> tuple[str, str, tuple[int, int]]:
        """Views of both of one shape, which they have room for."""
        rows, columns = (min(a, b) for a, b in zip(one.shape, two.shape, strict=True))
        return self.view(one, rows, columns), self.view(two, rows, columns), (rows, columns)

    def result(
        self,
        shape: tuple[int, int],
        dtypes: tuple[str, ...],
        reads: tuple[Tile, ...],
        buffers: tuple[str, ...] = ("sbuf",),
    ) -> tuple[Tile, str, Tile | None]:
        """Where a result goes: a new tile, or part of another than those read. The tile, its text, the new one."""
        room = [
            t for t in self.tiles
            if t not in reads and t.buffer in buffers and t.dtype in dtypes and t.shape[0] >= shape[0]
            and t.shape[1] >= shape[1]
        ]  # fmt: skip
        if room and self.chance(0.2):
            tile = self.choose(*room)
            return tile, self.view(tile, *shape), None
        tile = Tile(self.name("t"), shape, self.choose(*dtypes), self.choose(*buffers))
        return tile, tile.name, tile

    def new(self, shape: tuple[int, int], dtype: str, buffer: str = "sbuf") -> tuple[Tile, str, Tile | None]:
        """A new tile, as `result` gives it."""
        tile = Tile(self.name("t"), shape, dtype, buffer)
        return tile, tile.name, tile

    @property
    def buffers(self) -> tuple[str, ...]:
        """Where results of this size may go: PSUM while it has banks left for tiles of one bank."""
        used = sum(tile.buffer == "psum" for tile in self.tiles)
        return ("sbuf", "psum") if used < 6 else ("sbuf",)

    def says(self, call: str, value: str, where: tuple[Tile, str, Tile | None]) -> Statement:
        """A statement that writes `value` (NumPy) where `call` (with {dst}) does."""
        tile, text, new = where
        kernel = [new.made] if new else []
        target = text if not new else new.name
        return Statement([*kernel, call.format(dst=text)], [f"{target} = to({value}, {tile.dtype!r})"], new)

    def add(self, statement: Statement) -> None:
        """Run its meaning and keep it.

        Raises:
            Unfit: the result is open; nothing has changed.
        """
        tried = [{n: v.copy() if isinstance(v, np.ndarray) else v for n, v in each.items()} for each in self.values]
        if statement.exchange:
            name, text = statement.exchange
            for namespace, value in zip(tried, [eval(text, other) for other in reversed(tried)], strict=True):
                namespace[name] = value.copy()
        for namespace in tried:
            lines = [f"{name} = {call}" for name, call in statement.inputs.items()] + statement.meaning
            exec("\n".join(lines), namespace)
            for value in namespace.values():
                if isinstance(value, np.ndarray) and not np.isfinite(value.astype(np.float64)).all():
                    raise Unfit("not finite")
        self.values = tried
        self.statements.append(statement)
        if statement.tile:
            self.tiles.append(statement.tile)


def all_types(draft: Draft, *left_out: str) -> tuple[str, ...]:
    """Types a result may have on the target."""
    known = (name for name in DTYPES if name not in left_out)
    return tuple(name for name in known if draft.target == "trn3" or name != "float8_e4m3fn")
