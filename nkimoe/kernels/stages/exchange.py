"""What the two cores tell each other when they share a block: transposed tokens, and partial sums."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.tiling import PARTITIONS, Span

Result = tuple[int, Span, Any]
"""(token tile, columns of H, fp32 [128, columns])."""


def share_tokens(tokens: Any, gathered: Span) -> Any:
    """Complete transposed tokens [128, H/128, tokens] with the tiles of H that only the other core gathered."""
    tiles, first = tokens.shape[1], gathered.start // PARTITIONS
    own = Span(first, gathered.size // PARTITIONS)
    missing = tiles - own.size
    if missing:
        outgoing = slice(own.stop - missing, own.stop) if first else slice(0, missing)
        incoming = slice(0, missing) if first else slice(own.stop, tiles)
        _swap(tokens[:, outgoing, :], tokens[:, incoming, :])
    return tokens


class PartialSums:
    """Sums over both cores of this core's columns of H.

    A piece of the other core's columns is sent, for one tile of tokens, when all its banks are there; the piece of own
    columns at the same place comes in exchange.

    Args:
        written: this core's columns.
        width: columns of a piece.
        dtype: of partial sums on their way.
    """

    def __init__(self, written: Span, width: int, dtype: Any) -> None:
        self._written, self._width, self._dtype = written, width, dtype
        self._outgoing: dict[int, Any] = {}
        self._received: dict[tuple[int, int], Any] = {}

    def add(self, partials: Iterator[Result]) -> Iterator[Result]:
        """Yield the sums.

        Args:
            partials: this core's share of the contraction over I, for all columns: each piece of the other core's
                columns comes before the piece of own columns it is swapped for.
        """
        for tile, columns, partial in partials:
            if self._written.start <= columns.start < self._written.stop:
                total = nl.ndarray(tuple(partial.shape), dtype=nl.float32, buffer=nl.sbuf)
                nisa.tensor_tensor(dst=total, data1=partial, data2=self._share_of(tile, columns), op=nl.add)
                yield tile, columns, total
            else:
                self._send(tile, columns, partial)

    def _place(self, columns: Span) -> tuple[Span, Span]:
        """(the piece, the columns within it), both counted in one core's half of H."""
        first = columns.start % self._written.size
        start = first - first % self._width
        piece = Span(start, min(self._width, self._written.size - start))
        return piece, Span(first - start, columns.size)

    def _send(self, tile: int, columns: Span, partial: Any) -> None:
        piece, here = self._place(columns)
        if here.start == 0:
            self._outgoing[tile] = self._room(piece)
        outgoing = self._outgoing[tile]
        nisa.tensor_copy(dst=outgoing[:, here.slice], src=partial, engine=nisa.engine.scalar)
        if here.stop == piece.size:
            incoming = self._room(piece)
            _swap(outgoing, incoming)
            self._received[tile, piece.start] = incoming

    def _share_of(self, tile: int, columns: Span) -> Any:
        """What the other core sent for some columns; the last ones of a piece take it away."""
        piece, here = self._place(columns)
        place = (tile, piece.start)
        received = self._received.pop(place) if here.stop == piece.size else self._received[place]
        return received[:, here.slice]

    def _room(self, piece: Span) -> Any:
        return nl.ndarray((PARTITIONS, piece.size), dtype=self._dtype, buffer=nl.sbuf)


def _swap(outgoing: Any, incoming: Any) -> None:
    other = 1 - nl.program_id(0)
    nisa.sendrecv(src=outgoing, dst=incoming, send_to_rank=other, recv_from_rank=other, pipe_id=0)
