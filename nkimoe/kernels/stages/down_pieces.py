# SPDX-License-Identifier: Apache-2.0
"""In which order the columns of the down weights are used."""

from __future__ import annotations

from itertools import zip_longest

from nkimoe.kernels.stages.weight_pieces import MatrixPiece
from nkimoe.planning.shares import Share
from nkimoe.planning.tiling import Span, spans


def down_pieces(H: int, share: Share, width: int, ahead: int) -> list[MatrixPiece]:
    """All rows of some columns of H; the other core's columns run `ahead` of the own ones they are swapped for.

    >>> from nkimoe.planning.shares import BlockRange
    >>> share = Share(BlockRange(0, 1, 1), Span(0, 128), Span(256, 256), Span(256, 256))
    >>> [tuple(piece.columns) for piece in down_pieces(512, share, 128, 1)]
    [(0, 128), (256, 128), (128, 128), (384, 128)]
    >>> [tuple(piece.columns) for piece in down_pieces(512, share, 128, 2)]
    [(0, 128), (128, 128), (256, 128), (384, 128)]
    """
    written = share.written
    columns = own = spans(written.size, width, written.start)
    if written.size < H:
        others = spans(written.size, width, written.size - written.start)
        pairs = zip_longest(own, others[ahead:])
        columns = [*others[:ahead], *(span for pair in pairs for span in pair if span is not None)]
    return [MatrixPiece(Span(0, share.inner.size), span) for span in columns]
