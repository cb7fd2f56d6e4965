"""Mistakes in scaling, checkpoints and output."""

MISTAKES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "kernels/stages/scale_by_affinity.py": (
        ("return affinities\n", "return [1.0] * tiles\n", "POST_SCALE forgotten"),
        ("op0=nl.multiply, operand0=affinity", "op0=nl.add, operand0=affinity", "affinity added to the rows"),
        ("PRE_SCALE_DELAYED: PreScaleDelayed", "PRE_SCALE_DELAYED: PostScale", "delayed scaling as post"),
        ("return OnIntermediate(request)", "return Scaling(request)", "affinity on I ignored"),
        ("self._ones, value=1.0", "self._ones, value=0.5", "half the down bias"),
    ),
    "kernels/stages/across_columns.py": (
        (
            "value.broadcast(1, PARTITIONS)",
            "value.ap(pattern=[[1, PARTITIONS], [1, PARTITIONS]])",
            "broadcast with a stride",
        ),
        (
            "dst=columns[:, first : first + value.shape[0]], src=self",
            "dst=columns[:, 0 : value.shape[0]], src=self",
            "all tiles' affinities on the first",
        ),
    ),
    "kernels/stages/output_rows.py": (
        ("whole[0:limit, :] if self.begins_tensor else whole", "whole", "pad rows are written"),
        (
            "spans(rows, PARTITIONS)[nl.program_id(0) :: nl.num_programs(0)]",
            "spans(rows, PARTITIONS)[:: nl.num_programs(0)]",
            "both cores take the same half",
        ),
        (
            "spans(rows, PARTITIONS)[nl.program_id(0) :: nl.num_programs(0)]",
            "spans(rows, PARTITIONS)",
            "every row added by both cores",
        ),
        ("self._offset + span.start * self._pitch", "span.start * self._pitch", "slab offset forgotten"),
        (
            "columns.start - own.start : columns.stop - own.start",
            "columns.start : columns.stop",
            "own columns counted from the first of H",
        ),
        ("if columns.stop == own.stop:", "if columns.start == own.start:", "rows written before they are full"),
        (
            "src=rows, oob_mode=nisa.oob_mode.skip",
            "src=rows, oob_mode=nisa.oob_mode.error",
            "pad slots are an error when written",
        ),
        ("offset + columns.start", "offset", "both cores write the first columns"),
    ),
    "kernels/stages/combine.py": (
        ("op1=nl.add, operand1=rows)", "op1=nl.maximum, operand1=rows)", "the larger of old and new"),
        ("op=nl.copy, data=bias, scale=scale", "op=nl.copy, data=bias", "a bias behind a scale without its affinity"),
        ("data1=scaled, data2=biased", "data1=scaled, data2=rows", "a bias behind a scale forgotten with old rows"),
        ("data1=scaled, data2=product.factor", "data1=scaled, data2=scaled", "GpSimd squares instead of scaling"),
    ),
    "kernels/stages/update_output.py": (
        ("zero_rows(self.slab, my_share(self.slab.rows))\n        if", "if", "output never cleared: unrouted rows"),
        (
            "            nisa.core_barrier(data=tensor, cores=(0, 1))\n",
            "            pass\n",
            "slabs added before both are ready",
        ),
        (
            "        if nl.num_programs(0) > 1:\n            nisa.core_barrier(data=self.tensor, cores=(0, 1))\n",
            "",
            "rows overwritten before the other core has cleared them",
        ),
        (
            "nisa.dma_copy(dst=tile, src=slab.part(span))",
            "nisa.dma_copy(dst=tile, src=self.slabs[0].part(span))",
            "slab 0 added to itself",
        ),
        ("slabs[nl.program_id(0)], tokens", "slabs[0], tokens", "both cores accumulate in one slab"),
        (
            "dtype, clear)\n\n    def begin(self) -> None:\n        zero_rows(self",
            "dtype, clear)\n\n    def begin(self) -> None:\n        (lambda *_: None)(self",
            "accumulation starts from garbage",
        ),
        (
            "spans(self.slab.rows, PARTITIONS))\n\n    def fresh",
            "spans(self.slab.rows, PARTITIONS)[:-1])\n\n    def fresh",
            "the last rows are not cleared",
        ),
    ),
    "kernels/stages/column_halves.py": (
        ("Span(size - slab.columns.start, size)", "slab.columns", "the wrong half handed over"),
        (
            "tile : tile + 1] for tile",
            "0:1] for tile",
            "all tiles of the other core added to rows of its first",
        ),
        ("swapped(ids)", "ids", "the other core's results added to own rows"),
        ("dst=old, data1=old, data2=results", "dst=old, data1=results, data2=results", "old rows lost"),
        ("            if not self._incomplete:\n", "            if False:\n", "the other core's results never added"),
        (
            "            finish()\n            self._incomplete -= 1\n            if not self._incomplete:\n"
            "                self._meet()\n",
            "            self._incomplete -= 1\n            if not self._incomplete:\n"
            "                self._meet()\n            finish()\n",
            "own results added to rows that were loaded before the other core's",
        ),
    ),
    "kernels/stages/checkpoints.py": (
        (
            "which * I + self._share.inner.start + rows.start",
            "which * I + rows.start",
            "both cores save the first rows of I",
        ),
        ("(which * I +", "(0 * I +", "up saved over gate"),
        ("return replace(p, data=data, steps=())", "return replace(p, data=data)", "steps applied again after saving"),
        ("data = apply_steps(p.data, p.steps)", "data = apply_steps(p.data, ())", "saved before bias and limits"),
        ("part.tiles.start * PARTITIONS + p.tokens.start", "p.tokens.start", "every part saved over the first"),
        ("min(PARTITIONS, part.slots - first)", "PARTITIONS", "slots behind the end of a block saved"),
        ("offset=block * size + offset", "offset=offset", "every block saved over the first"),
        (
            "offset=offset, scalar_offset=block, indirect_dim=0",
            "offset=offset",
            "every block of the loop saved over the first",
        ),
        (
            "return nisa.oob_mode.error if isinstance(part.block.number, int) else nisa.oob_mode.skip",
            "return nisa.oob_mode.error",
            "blocks behind the last one saved somewhere",
        ),
    ),
}
