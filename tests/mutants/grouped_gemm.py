"""Mistakes in the grouped GEMM, in two of them one after the other, and in the router of one expert."""

MISTAKES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "planning/grouped_gemm/plan.py": (
        (
            "first = pieces.start * self.pieces.width",
            "first = 0",
            "every pass writes the first columns",
        ),
        (
            "min(pieces.stop * self.pieces.width, self.problem.I) - first",
            "pieces.stop * self.pieces.width - first",
            "columns of padding written",
        ),
        (
            "(everything.size * n // cores for n in (core, core + 1))",
            "(everything.size * n // cores for n in (0, 1))",
            "both cores compute the same columns",
        ),
        (
            "    if count < problem.cores:",
            "    if count < 0:",
            "one piece of columns shared by two cores",
        ),
    ),
    "planning/grouped_gemm/pieces.py": (
        (
            "ColumnPieces(ceil_div(self.columns, width), width,",
            "ColumnPieces(max(1, self.columns // width), width,",
            "columns behind the last whole piece left out",
        ),
    ),
    "ops/run_grouped.py": (
        (
            "pairs.has_gaps and reads_all",
            "False",
            "rows of no expert between int8 projections left as they were",
        ),
    ),
    "ops/gemm_tables.py": (
        (
            ".reshape(-1, PARTITIONS).T.copy()",
            ".reshape(PARTITIONS, -1)",
            "slots of a tile beside each other on one partition",
        ),
    ),
    "kernels/grouped_gemm/routing.py": (
        (
            "offset=blocks.block(first) * tiles",
            "offset=0",
            "both cores with the slots of the first",
        ),
    ),
    "kernels/grouped_gemm/rows_in_runs.py": (
        (
            "Span(own.start + run.start, run.size)",
            "Span(own.start, run.size)",
            "every run with the first columns of the rows",
        ),
    ),
    "kernels/grouped_gemm/small_tiles.py": (
        (
            "        self._used += self._slots",
            "        self._used = self._slots",
            "the third small tile in the place of the second",
        ),
        (
            "dst=self._pairs[self._used : self._used + self._slots]",
            "dst=self._pairs[0 : self._slots]",
            "all small tiles under the pairs of the last",
        ),
    ),
    "kernels/grouped_gemm/pieces.py": (
        (
            "offset=piece.columns.start // piece.columns.size * partitions * per_partition,",
            "offset=0,",
            "the first piece loaded for all",
        ),
    ),
    "kernels/grouped_gemm/weights.py": (
        (
            "columns[:, :, own.slice]",
            "columns[:, :, 0 : own.size]",
            "the first tile of tokens for all",
        ),
        (
            "weights[:, :, half * width : (half + 1) * width]",
            "weights[:, :, 0:width]",
            "the first half of columns for both",
        ),
        (
            "Span(n * columns, columns)) for n in range(pieces.start, pieces.stop)",
            "Span(n * columns, columns)) for n in range(pieces.size)",
            "every pass with the weights of the first",
        ),
    ),
    "kernels/grouped_gemm/tokens.py": (
        (
            "if self._now is not None and part is self._now[0]:",
            "if self._now is not None:",
            "the tokens of the first block for all",
        ),
        (
            "[self._scales(row) for row in rows]",
            "[self._scales(rows[0]) for row in rows]",
            "scales of the first tile for all",
        ),
        (
            "dst=columns.of(part), src=kept",
            "dst=columns.of(part), src=next(iter(self._kept.values()))",
            "later passes with the tokens of the first block",
        ),
    ),
    "kernels/grouped_gemm/column_tiles.py": (
        (
            "moving=moving[0 : step.rows, step.tiles, part.slice]",
            "moving=moving[0 : step.rows, step.tiles, 0 : part.size]",
            "all column tiles with the first part of the weights",
        ),
        (
            "src=self._place(i)",
            "src=self._place(0)[:, 0 : part.size]",
            "the products of the first column tile for all",
        ),
    ),
    "planning/grouped_gemm/column_runs.py": (
        (
            "2 * c + half if interleaved else half * columns + c",
            "half * columns + c",
            "halves that interleave have the scales of those that do not",
        ),
        (
            "else half * columns + c",
            "else c",
            "the second half has the scales of the first",
        ),
    ),
    "kernels/grouped_gemm/blocks.py": (
        (
            "self.all = Span(firsts[pieces.start],",
            "self.all = Span(firsts[0],",
            "every pass with the scales of the first",
        ),
        (
            "first = self._firsts[piece] - self.all.start",
            "first = 0",
            "every piece with the scales of the first of its pass",
        ),
        (
            "tile * PARTITIONS * group + p * group",
            "tile * PARTITIONS * group",
            "a group of rows has one scale",
        ),
        (
            "own = Span(half * self._width,",
            "own = Span(0 * self._width,",
            "products of both halves have the scales of the first",
        ),
        (
            "tokens.groups[tile]",
            "tokens.groups[0]",
            "products of all tiles of tokens have the scales of the first",
        ),
        (
            "self._factors[:, tile, r : r + 1]",
            "self._factors[:, 0, r : r + 1]",
            "all rows have the scales of the first 128",
        ),
        (
            "if self._factors.shape[1] > 1:",
            "if self._factors.shape[1] > 2:",
            "what other engines added is lost, of two tiles",
        ),
        (
            "data1=self._beside, data2=scaled",
            "data1=scaled, data2=scaled",
            "what other engines added before is lost",
        ),
    ),
    "kernels/grouped_gemm/mx.py": (
        (
            "(first + n * SCALE_ROWS) * tiles * columns",
            "first * tiles * columns",
            "all quadrants with the scales of the first",
        ),
        (
            "piece.columns.start // piece.columns.size * rows",
            "0",
            "all pieces of MX weights with the scales of the first",
        ),
        (
            "tokens.data.part(every, every, slots.slice)",
            "tokens.data.part(every, every, slice(0, slots.size))",
            "MX products of the first tile of tokens for all",
        ),
    ),
    "kernels/grouped_gemm/neighbour_columns.py": (
        (
            "tile * QUARTERS + q, QUARTERS",
            "tile * QUARTERS + q, 1",
            "elements of columns that are no neighbours",
        ),
    ),
    "kernels/grouped_gemm/group_codes.py": (
        (
            "own = factor[:, g : g + 1]",
            "own = factor[:, 0:1]",
            "all groups are coded with the scale of the first",
        ),
        (
            "largest_magnitude(amax[:, g : g + 1], values[:, columns.slice])",
            "largest_magnitude(amax[:, g : g + 1], values)",
            "the largest of the row, not of the group",
        ),
    ),
    "kernels/grouped_gemm/coding.py": (
        (
            "operand1=-self._largest",
            "operand1=0.0",
            "negative results become zero",
        ),
    ),
    "kernels/ops/static_codes.py": (
        (
            "codes[own.slice, part.slice], src=code",
            "codes[own.slice, 0 : part.size], src=code",
            "later columns in the place of the first",
        ),
    ),
    "kernels/grouped_gemm/finish.py": (
        (
            "spans(self._pieces.size, self.together, self._pieces.start)[group]",
            "spans(self._pieces.size, self.together, self._pieces.start)[0]",
            "all groups of pieces write the columns of the first",
        ),
        (
            "None if self._coding is None else self._coding.factor[0 : weight.shape[0]]",
            "None",
            "codes of results that no scale divides",
        ),
        (
            "(piece * len(products) + half) * self._width",
            "piece * len(products) * self._width",
            "scale and bias of the first half for both",
        ),
        (
            "own = Span(pieces.start * per_piece,",
            "own = Span(0 * per_piece,",
            "scale and bias of the first pass for all",
        ),
        (
            "if self._weighting in (Weighting.NONE, Weighting.AFTER):",
            "if self._weighting is not None:",
            "weights behind the epilogue that belong before it",
        ),
    ),
    "kernels/grouped_gemm/epilogue.py": (
        (
            "(limit, None if limit is None else -limit)",
            "(limit, None)",
            "the up half unlimited below",
        ),
        (
            "op=nl.sigmoid, data=gate, scale=alpha",
            "op=nl.sigmoid, data=gate",
            "swiglu without alpha",
        ),
    ),
    "kernels/grouped_gemm/int4.py": (
        (
            "values[:, 2 * t + n, columns.slice]",
            "values[:, 2 * t + 1 - n, columns.slice]",
            "low and high halves swapped",
        ),
        (
            "        self._groups.refill(i, now, following)",
            "        pass",
            "scales of the first expert for all",
        ),
        (
            "nisa.tensor_tensor(dst=distance, data1=code, data2=zero, op=nl.subtract)",
            "nisa.tensor_tensor(dst=distance, data1=code, data2=zero, op=nl.add)",
            "zeros added",
        ),
    ),
    "kernels/grouped_gemm/result.py": (
        (
            "self._small.columns != columns",
            "False",
            "small tiles of two passes in the columns of the first",
        ),
        (
            """        self._release()
        for _ in self.write():""",
            """        for _ in self.write():""",
            "the last small tiles never leave",
        ),
        (
            "p.T * options.choices // options.summed",
            "p.T // options.summed",
            "fewer sums than tokens",
        ),
        (
            "zip(rows, part.pairs, strict=True)",
            "zip(rows, part.ids, strict=True)",
            "results in the rows of tokens",
        ),
        (
            "        if request.options.has_gaps:",
            "        if False:",
            "rows of no expert left as they were",
        ),
    ),
    "kernels/grouped_gemm/program.py": (
        (
            "nisa.core_barrier(data=result, cores=(0, 1))",
            "pass",
            "the second projection begins before the first is complete",
        ),
    ),
    "routing/on_device/sigmoid_top1.py": (
        (
            "if rows.start == 0:",
            "if True:",
            "logits of the last window alone",
        ),
        (
            "nisa.memset(dst=ids[:, 1:], value=n_experts)",
            "nisa.memset(dst=ids[:, 1:], value=n_experts - 1)",
            "the shared expert under the id of the last routed one",
        ),
        (
            "(rows.start + first * PARTITIONS) * E + columns.start",
            "first * PARTITIONS * E + columns.start",
            "the first window of the router for all",
        ),
    ),
}
