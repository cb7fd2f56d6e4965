"""Mistakes in loading weights."""

MISTAKES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "kernels/stages/tiled_tensors.py": (
        (" + rows.start * per_row", "", "every piece holds the first rows of H"),
        ("[g * per_row, PARTITIONS]", "[per_row, PARTITIONS]", "partition stride of an ungrouped layout"),
        ("[per_row, g]", "[p.I, g]", "gate and up rows interleaved"),
        ("[p.I, len(self.projections)]", "[columns.size, len(self.projections)]", "up read at the piece's width"),
        ("+ self.share.inner.start + columns.start", "+ self.share.inner.start", "every piece the first columns"),
        (
            "self.projections[0] * p.I + self.share.inner.start",
            "self.projections[0] * p.I",
            "both cores load the first half of gate and up",
        ),
        ("self.projections[0] * p.I +", "0 * p.I +", "gate weights in place of up without a gate"),
        ("[PARTITIONS * g * per_row, piece.tiles // g]", "[g * per_row, piece.tiles // g]", "groups of H overlap"),
        ("columns.start + rows.start * per_row", "columns.start", "every transfer the first rows of H"),
        ("[size * H, count], [1, columns.size]]", "[H, count], [1, columns.size]]", "tiles of down overlap"),
        (
            "(self.share.inner.start + first * size) * H + columns.start",
            "(self.share.inner.start + first * size) * H",
            "every piece of down the first columns",
        ),
        (
            "(self.share.inner.start + first * size) * H + columns.start",
            "self.share.inner.start * H + columns.start",
            "the remainder rows of down from the top",
        ),
        (
            "(self.share.inner.start + first * size) * H",
            "first * size * H",
            "both cores load the first half of down",
        ),
    ),
    "kernels/stages/tiled_inner.py": (
        ("[[1, rows], [I, halves], [self._rows, count]]", "[[1, rows], [I, halves], [1, count]]", "bias tiles overlap"),
        ("start + first * self._rows, expert)", "start, expert)", "remainder of the bias from the top"),
        (
            "start + first * self._rows, expert)",
            "first * self._rows, expert)",
            "both cores take the first half of the bias",
        ),
    ),
    "kernels/stages/block_scales.py": (
        (
            "first = inside + columns.start",
            "first = columns.start",
            "a share inside a block scales as if it began one",
        ),
        ("(firsts[tile] + p * group) // size", "firsts[tile] // size", "groups of rows have the scales of their first"),
        ("rows.start * per_row + ", "", "both cores scale with the first rows of blocks"),
        ("matrices.start * per_matrix + ", "", "up alone is scaled like gate"),
        ("own.start + tile * PARTITIONS + p", "own.start + tile * PARTITIONS", "a tile of down weights has one scale"),
    ),
    "kernels/stages/converted_pieces.py": (
        ("self._conversion.turn()", "pass", "the first expert's scales for all"),
        ("self._conversion.load(following.block.expert_to_load)", "pass", "scales of blocks of one expert for all"),
    ),
    "kernels/stages/hidden_scales.py": (
        ("data1=columns, data2=affinities", "data1=columns, data2=columns", "squares of scales instead of affinities"),
        ("scale=scales[product.tile]", "scale=scales[0]", "the scales of the first tile of tokens for all"),
    ),
    "kernels/stages/expert_vectors.py": (
        (
            "start - biased.start, expert)",
            "0, expert)",
            "both cores add the first half of the down bias",
        ),
        (
            "own, parts = self._share.written, SPREAD_PARTS",
            "own, parts = Span(0, self._share.written.size), SPREAD_PARTS",
            "both cores scale with the first half of down's scales",
        ),
        (
            "own, slots = self._share.written, min",
            "own, slots = Span(0, self._share.written.size), min",
            "both cores scale with the first half of down's scales, in large blocks with a bias",
        ),
        ("[part] * QUADRANT", "[0] * QUADRANT", "each part of down's scales the first"),
        ("(self._request.down_bias_tp_rank or 0) * width", "0", "every rank adds its bias to the first columns"),
        ("self._load(self.tile, following.block.expert_to_load)", "pass", "biases of the first expert for all"),
        ("            self.derive()\n", "", "what is computed from scales stays that of the first expert"),
        ("if int(tensor.shape[0]) == 1:", "if True:", "biases and scales always of expert 0"),
        ("((0, size, whole), (whole, rest, 1))", "((0, size, whole),)", "remainder rows of I never loaded"),
    ),
    "kernels/stages/weight_pieces.py": (
        (
            "following.block.expert_to_load_in_turn",
            "following.block.expert_to_load",
            "the second of two blocks of an expert finds the weights of the block before them",
        ),
        (
            "self._tiles, self._others = self._others, self._tiles",
            "pass",
            "every block with the first one's weights, while the others wait in their set",
        ),
        (
            "self._load(tile, now.block.expert, self.pieces[ahead])",
            "self._load(tile, now.block.expert, self.pieces[ahead - 1])",
            "a streamed piece loaded again in place of the next",
        ),
        (
            "following.block.expert, self.pieces[i % room]",
            "now.block.expert, self.pieces[i % room]",
            "the next block streams this one's expert",
        ),
        (
            "self._load(tile, following.block.expert_to_load, self.pieces[i])",
            "self._load(tile, now.block.expert, self.pieces[i])",
            "the next block finds this one's weights",
        ),
        (
            "return self._tiles[i % len(self._tiles)]",
            "return self._tiles[0]",
            "every piece in the first tile",
        ),
        (
            "            yield piece, self.tile_of(i)\n            self.refill(i, now, following)",
            "            self.refill(i, now, following)\n            yield piece, self.tile_of(i)",
            "weights replaced before they are used",
        ),
        ("self.vectors.replace(following)", "pass", "biases and scales of the first expert for all"),
    ),
    "kernels/stages/down_pieces.py": (
        (
            "zip_longest(own, others[ahead:])",
            "zip_longest(own, others[: len(own) - ahead])",
            "own columns before the other core's",
        ),
    ),
}
