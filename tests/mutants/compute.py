"""Mistakes in projections, dequantisation and activation."""

MISTAKES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "kernels/stages/gate_up_products.py": (
        (
            "(columns.start + piece.start) // weights.inner_rows",
            "piece.start // weights.inner_rows",
            "streamed pieces land on the first tiles",
        ),
        (
            "_contraction_tiles(tokens, rows)[:, :, batch.slice]",
            "_contraction_tiles(tokens, rows)[:, :, 0 : batch.size]",
            "every batch of tokens the first",
        ),
    ),
    "kernels/stages/gated_activation.py": (
        ("ActFnType.Swish: (nl.gelu_apprx_sigmoid,)", "ActFnType.Swish: (nl.silu,)", "Swish without 1.702"),
        ("(nl.relu, nl.square)", "(nl.relu,)", "SquaredReLU not squared"),
        ("ActFnType.GELU: (nl.gelu,)", "ActFnType.GELU: (nl.silu,)", "GELU taken for SiLU"),
        (
            "op=self.functions[-1], data=data, bias=bias, scale=scale",
            "op=self.functions[-1], data=data, scale=scale",
            "bias forgotten on the Scalar Engine",
        ),
        (
            "op=self.functions[-1], data=data, bias=bias, scale=scale",
            "op=self.functions[-1], data=data, bias=bias",
            "scale forgotten on the Scalar Engine",
        ),
        (
            "(*each.steps, *self.up_offset), gates",
            "(*self.up_offset, *each.steps), gates",
            "offset of up before its limits",
        ),
        ("                _scale(activated, activated, factors, each)\n", "", "affinity on I forgotten"),
    ),
    "kernels/stages/dense/intermediate.py": (
        (
            "[0 : product.data.shape[0], product.tile, product.tokens.slice]",
            "[0 : product.data.shape[0], 0, product.tokens.slice]",
            "every tile of I on the first",
        ),
        (
            "self._inputs.keep(self._place(product), values)",
            "pass",
            "quantised activations never written",
        ),
    ),
    "kernels/stages/down_products.py": (
        (
            "Span(columns.start + piece.start, piece.size)",
            "Span(piece.start, piece.size)",
            "streamed pieces land on the first columns",
        ),
        (
            "intermediate[:, :, tokens.slice], down[:, :, piece.slice]",
            "intermediate[:, :, 0:PARTITIONS], down[:, :, piece.slice]",
            "every tile of tokens the first",
        ),
        (
            "intermediate[:, :, tokens.slice], down[:, :, piece.slice]",
            "intermediate[:, :, tokens.slice], down[:, :, 0 : piece.size]",
            "always the first columns of H",
        ),
        ("    if bias is not None:\n", "    if False:\n", "down bias dropped"),
        ("bias_factors[tile])", "bias_factors[0])", "bias scaled by the affinities of the first tile"),
    ),
    "kernels/stages/contract.py": (
        ("accumulate=rows.start + n > 0", "accumulate=n > 0", "sums start again with every piece of rows"),
        ("accumulate=rows.start + n > 0", "accumulate=False", "only the last tile of a contraction counts"),
        ("accumulate=rows.start + n > 0", "accumulate=True", "accumulates onto an unstarted bank"),
        (
            "moving=moving[0 : step.rows, step.tiles, :]",
            "moving=moving[0 : step.rows, 0, :]",
            "always the first tile of the moving operand",
        ),
        ("range(paired, len(tiles))", "range(paired, len(tiles) - 1)", "last tile of a contraction left out"),
        ("rows // size // 2 * 2 if", "rows // size // 2 if", "half of the pairs"),
    ),
    "kernels/stages/quantise.py": (
        (
            "nisa.reciprocal(dst=self._factor, data=scale)",
            "nisa.tensor_copy(dst=self._factor, src=scale)",
            "activations multiplied by their scale",
        ),
        (
            "((self._high, 1.0), (self._low, -1.0))",
            "((self._high, 1.0), (self._low, 0.0))",
            "negative activations lost",
        ),
        ("sign * self._largest", "sign * self._largest / 2", "activations limited to half the range"),
    ),
    "kernels/stages/products.py": (
        ("GATE, UP = 0, 1", "GATE, UP = 1, 0", "gate and up swapped"),
        ("(UP,) if request.skip_gate_proj", "(GATE,) if request.skip_gate_proj", "the gate in place of up"),
    ),
    "kernels/stages/dequantise.py": (
        ("factor[0:rows, which, at : at + 1]", "factor[0:rows, 0, at : at + 1]", "up scaled like gate"),
        ("at = min(tile, factor.shape[2] - 1)", "at = 0", "scales of the first tile everywhere"),
        ("(*scale, *bias, *self._limits[which])", "(*bias, *scale, *self._limits[which])", "bias scaled"),
        ("(*scale, *bias, *self._limits[which])", "(*self._limits[which], *scale, *bias)", "limits before the bias"),
        ("(*scale, *bias, *self._limits[which])", "(*scale, *bias, *bias, *self._limits[which])", "bias added twice"),
        (
            "self._bias.tile[0:rows, which, tile : tile + 1]",
            "self._bias.tile[0:rows, 0, tile : tile + 1]",
            "gate bias added to up",
        ),
        (
            "self._bias.tile[0:rows, which, tile : tile + 1]",
            "self._bias.tile[0:rows, which, 0:1]",
            "bias of the first tile everywhere",
        ),
        (
            "is_own = self._own.start <= columns.start < self._own.stop",
            "is_own = True",
            "the down bias counted by both cores",
        ),
        ("op=nl.copy, data=data, scale=factor", "op=nl.copy, data=data", "static down scale forgotten"),
        (
            "data1=dst, data2=product.bias, op=nl.add",
            "data1=dst, data2=product.bias, op=nl.subtract",
            "bias behind two scales subtracted",
        ),
        (
            "self._of_weights, op0=nl.multiply, operand0=of_inputs",
            "self._of_weights, op0=nl.multiply, operand0=1.0",
            "scale of the activations forgotten",
        ),
    ),
    "kernels/stages/element_steps.py": (
        ("scale=operand0, bias=operand1)", "scale=operand0)", "bias before limits forgotten"),
        ("((nl.maximum, float(lower)),)", "((nl.minimum, float(lower)),)", "lower limit from above"),
        ("() if lower is None", "() if not lower", "a limit of 0.0 is no limit"),
        ("() if upper is None", "() if not upper", "an upper limit of 0.0 is no limit"),
        ("apply_steps(data, steps[:-1], buffer)", "apply_steps(data, steps, buffer)", "the fused step applied twice"),
    ),
}
