# SPDX-License-Identifier: Apache-2.0
"""Gathering long rows."""

from __future__ import annotations

from nkimoe.kernels.stages.gather_tokens import TokenRows
from nkimoe.kernels.tensor import IndexTile, Tensor
from nkimoe.planning.tiling import Span, spans

# Of a row, 16 bits each, that one gather brings: 8 KiB. GpSimd describes 2 KiB at a time, and a gather more takes it as
# long as 43 descriptors; of 128 rows a run has 512.
RUN_COLUMNS = 4096


class RowsInRuns(TokenRows):
    """Rows that come a run of columns at a time: the first run of the next rows as soon as that of these is turned.

    A gather moves nothing before all of it is described, 25 us for 128 rows of 28 KiB, and waits for all of its place.
    """

    def _fetch(self, tile: Tensor, ids: IndexTile) -> None:
        own = self._columns
        for run in spans(own.size, RUN_COLUMNS):
            self._fetch_columns(tile[:, run.slice], ids, Span(own.start + run.start, run.size))
