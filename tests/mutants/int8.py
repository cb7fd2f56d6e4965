"""Mistakes in the stages of int8."""

MISTAKES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "kernels/stages/int8/exact_sum.py": (
        (
            "if self._chunks == 2:\n            nisa",
            "if self._chunks >= 2:\n            nisa",
            "integers rounded twice",
        ),
        ("nl.float32 if self._chunks == 2 else nl.int32", "nl.float32", "sums of several chunks kept in fp32"),
        ("self._closed + 1 < self._chunks", "self._closed < self._chunks", "a chunk too many, which nobody writes"),
        ("self._exact_rows - self._added)", "self._exact_rows)", "pieces run past the end of a chunk"),
        (
            "slice(first // stationary.shape[0], ceil_div(first + size",
            "slice(0, ceil_div(size",
            "the rest of a piece from its top",
        ),
        ("engine=nisa.engine.gpsimd", "engine=nisa.engine.vector", "integers added by an engine that computes in fp32"),
    ),
    "kernels/stages/int8/codes.py": (
        ("self._amax = limited(amax)", "self._amax = amax", "a row of zeros divides by zero"),
        ("exact_scale(self._amax, LARGEST)", "exact_scale(self._amax, LARGEST + 1)", "128 codes a side"),
        ("tuple(tile.shape), dtype=nl.int8", "tuple(tile.shape), dtype=nl.float32", "codes never rounded"),
        ("if tiles[-1].size < tiles[0].size:", "if False:", "numbers of no token computed with as they are"),
    ),
    "kernels/stages/int8/code_rows.py": (
        ("[nl.program_id(0) :: cores]", "[::cores]", "both cores quantise the same rows"),
        ("nisa.core_barrier(data=result, cores=(0, 1))", "pass", "codes gathered before the other core wrote them"),
        (
            "rows[:, rows.shape[1] - SCALE_BYTES : rows.shape[1]]",
            "rows[:, 0:SCALE_BYTES]",
            "codes taken for a scale",
        ),
        (
            "tile[:, part.slice], factor",
            "tile[:, part.slice], 1.0",
            "values rounded as they are",
        ),
        ("tile[:, part.slice]", "tile[:, 0 : part.size]", "both cores get the first columns of H"),
        ("src=rows[own.slice, :]", "src=rows[0 : own.size, :]", "the first rows again and again"),
    ),
    "kernels/stages/int8/paired_codes.py": (
        (
            "[:, which::PAIR, :]",
            "[:, 0::PAIR, :][:, 0 : (tiles - which + 1) // PAIR, :]",
            "the first tile of a pair twice",
        ),
        (
            "max(1, self._tiling.row_group // PAIR)",
            "self._tiling.row_group",
            "pairs of rows that do not belong together",
        ),
        ("codes[:, whole, 0]", "codes[:, whole, 1]", "the last of an odd number of tiles is zero"),
    ),
    "kernels/stages/int8/token_codes.py": (
        (
            "[scale_of(row) for row in rows]",
            "[scale_of(rows[0]) for _ in rows]",
            "every tile has the first one's scales",
        ),
        (
            "nisa.tensor_copy(dst=self._scale(t, scale.shape[0]), src=scale, engine=nisa.engine.gpsimd)",
            "self._scales = scale",
            "scales where a device loop does not find them",
        ),
        (
            "[self._scale(t, own.size) for t",
            "[self._scale(0, own.size) for t",
            "the first tile's scales beside all tokens",
        ),
    ),
    "kernels/stages/int8/intermediate.py": (
        ("        if columns % rows:\n", "        if False:\n", "columns beyond the last of I are never cleared"),
        ("(nl.maximum, nl.minimum)", "(nl.maximum, nl.maximum)", "the largest value, not magnitude"),
        ("values = self._values[:, :, own.slice]", "values = self._values[:, :, 0 : own.size]", "the fifth tile never"),
        (
            "[n * at_once : (n + 1) * at_once]",
            "[: ceil_div(own.size, PARTITIONS)]",
            "the fifth tile by other factors",
        ),
        (
            "of_tiles(self._of_tokens.scale(), tokens)",
            "of_tiles(self._of_tokens.scale(), tokens)[:1] * len(of_tiles(self._of_tokens.factor, tokens))",
            "one scale for all tiles",
        ),
        ("self._over_cores(self._largest())", "of_one_core(self._largest())", "each core by its own largest values"),
        ("kept: DType = nl.float32", "kept: DType = self._dtype", "smoothed values rounded before they are quantised"),
        ("op0=nl.multiply, operand0=factor)", "op0=nl.multiply, operand0=1.0)", "act * up not smoothed"),
        ("product.tile : product.tile + 1]", "0:1]", "smoothed like the first columns of I"),
        ("data=values[:, n, :], engine", "data=values[:, 0, :], engine", "negative values are not seen"),
    ),
    "kernels/stages/int8/smooth_rows.py": (
        (
            "data2=smooth[0 : row.shape[0], :], op=nl.multiply",
            "data2=smooth[0 : row.shape[0], :], op=nl.add",
            "smooth factors added",
        ),
        ("tuple(row.shape), dtype=nl.float32", "tuple(row.shape), dtype=row.dtype", "smoothed rows rounded first"),
        ("layout.write(codes, value, tokens.factor)", "layout.write(codes, value, 1.0)", "values rounded as they are"),
        (
            "return coded, [tokens.scale()",
            "return coded, [of_tokens[0].scale()",
            "every tile has the first one's scales",
        ),
    ),
    "kernels/stages/int8/products.py": (
        ("data1=tokens.columns, data2", "data1=affinity_columns, data2", "affinities in place of scales"),
        ("intermediate.scales[product.tile]", "intermediate.scales[0]", "every tile has the first one's scales"),
        ("product._replace(scale=intermediate.scales[product.tile])", "product", "the scale of act * up forgotten"),
    ),
    "kernels/stages/int8/weights.py": (
        (
            "ExactSum(rows, columns, self._H, self._exact_rows)",
            "ExactSum(rows, columns, self._H, 1 << 30)",
            "over H: rounded",
        ),
        (
            "ExactSum(rows, columns, self._inner, self._exact_rows)",
            "ExactSum(rows, columns, self._inner, 1 << 30)",
            "over I: rounded",
        ),
    ),
    "kernels/stages/converted_pieces.py": (
        ("self._convert(i + 1)\n", "self._convert(i)\n", "the piece at hand converted in place of the next"),
        (
            "self._convert(i + 1)\n                self._load_behind(i + 1, now, following)\n",
            "self._load_behind(i + 1, now, following)\n                self._convert(i + 1)\n",
            "codes replaced before they are converted",
        ),
        ("        self._load_behind(0, now, following)\n", "", "the first piece is that of the first expert for all"),
        (
            "following is not None and not waits",
            "following is not None",
            "the next part's first piece over the last one",
        ),
        ("following is not None and waits:", "False:", "the next part's first piece never converted where it waits"),
        ("self._values[i % len(self._values)]", "self._values[0]", "pieces converted over the one in use"),
        ("super().fill(part)\n", "super().fill(part)\n        return\n", "the very first piece never converted"),
        ("self.vectors.replace(following)", "pass", "scales of the first expert for all"),
        ("range(src.shape[1]):\n", "range(src.shape[1] - 1):\n", "last tile of a piece never converted"),
        (
            "slice(0, piece.columns.size))]",
            "slice(0, piece.columns.size - 1))]",
            "last column of a piece never converted",
        ),
    ),
    "kernels/stages/tiled_tensors.py": (
        ("and piece.rows.size % rows:", "and False:", "rows of codes beyond the last are never cleared"),
    ),
    "kernels/stages/exact_factor.py": (
        (
            "op1=nl.add, operand1=lower",
            "op1=nl.subtract, operand1=lower",
            "the rest of a short division, one half of it",
        ),
        (
            "_combined(rest, reciprocal, nl.multiply), nl.subtract",
            "_combined(rest, reciprocal, nl.multiply), nl.add",
            "a short division corrected the wrong way",
        ),
    ),
    "kernels/stages/exact_scale.py": (
        ("return upper, upper - largest", "return upper, largest - upper", "the rest of a scale with the wrong sign"),
        (
            "data=rest, op0=nl.multiply, operand0=share",
            "data=rest, op0=nl.multiply, operand0=0.0",
            "a scale not corrected",
        ),
    ),
    "kernels/stages/dequantise.py": (
        (
            "nisa.scalar_tensor_tensor(dst=dst, data=data, op0=nl.multiply, operand0=scale",
            "nisa.scalar_tensor_tensor(dst=dst, data=data, op0=nl.multiply, operand0=1.0",
            "the scale of activations forgotten before the bias",
        ),
    ),
    "kernels/block_program.py": (
        (
            "layer.turn(following)\n    layer.token_rows.gather(after)\n    has_few",
            "layer.token_rows.gather(after)\n    has_few",
            "int8: every part computes with the first one's tokens",
        ),
        (
            "_project_down(begun, begun.room.operand(), layer)",
            "pass",
            "the last part is never completed",
        ),
        (
            "        _project_down(before, intermediate, layer)\n    if has_few",
            "        _project_down(before, intermediate, layer)\n    layer.turn(following)\n    if has_few",
            "tokens turned twice",
        ),
        (
            "weights, part, begun.following, bias",
            "weights, part, part, bias",
            "down weights of the first expert for all",
        ),
        (
            "if before is not None:\n        _project_down(before, intermediate, layer)\n"
            "    if has_few:\n        room.settle()\n"
            "    return Begun(now, following, room, factors, layer.updates(now))",
            "updates = layer.updates(now)\n    if before is not None:\n"
            "        _project_down(before, intermediate, layer)\n    if has_few:\n        room.settle()\n"
            "    return Begun(now, following, room, factors, updates)",
            "old rows read before the part before has added to them",
        ),
    ),
    "weights/int8.py": (
        ("// PARTITIONS + 1, len(tiles))", "// PARTITIONS, len(tiles))", "sums may start at whole tiles only"),
        (
            "np.abs(codes[:, first : first + PARTITIONS].astype(np.int32))",
            "np.abs(codes[:, first : first + PARTITIONS]).astype(np.int32)",
            "-128 has no magnitude in int8",
        ),
        ("return min(", "return max(", "the weights with more rows decide"),
    ),
}
