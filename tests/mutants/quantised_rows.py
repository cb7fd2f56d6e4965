"""Mistakes in the rowwise quantisers."""

MISTAKES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "kernels/ops/quantise_rows.py": (
        ("(tokens.start, j % each, columns.start)", "(tokens.start, 0, 0)", "columns of a row served from others"),
        ("(1, self._plan.T) if", "(1, self._plan.k) if", "rows of choices laid over each other"),
        ("j * next_choice) * stride", "j * next_choice) * self._plan.H", "rows begin as if they had no pitch"),
        ("if len(waiting) > plan.ahead:", "if len(waiting) > plan.ahead + 9:", "values in tiles that others took"),
    ),
    "kernels/ops/row_scales.py": (
        (
            "data1=amax, data2=found, op=nl.maximum",
            "data1=found, data2=found, op=nl.maximum",
            "the last columns' maximum",
        ),
        (
            "op=nl.multiply)\n        return scale",
            "op=nl.add)\n        return scale",
            "skipped pairs added, not masked",
        ),
        ("LEAST if request.zero_row == EPS", "0.0 if request.zero_row == EPS", "a row of zeros divides by zero"),
    ),
    "kernels/ops/row_codes.py": (
        (
            "data1=nearest, data2=magnitude, op=nl.greater)",
            "data1=magnitude, data2=nearest, op=nl.greater)",
            "up, not down",
        ),
        ("op1=nl.greater_equal, operand1=nearest", "op1=nl.greater, operand1=nearest", "ties go down"),
        ("for s in halves(divisor.scale)", "for s in halves(divisor.scale)[:1]", "half of the rest of a division"),
    ),
    "kernels/stages/exact_scale.py": (
        ("op0=nl.abs, operand0=None", "op0=nl.multiply, operand0=1.0", "the largest value, not magnitude"),
    ),
    "kernels/stages/exact_factor.py": (
        (
            "_combined(rest, reciprocal, nl.multiply), nl.add)",
            "_combined(rest, reciprocal, nl.multiply), nl.subtract)",
            "wrong way",
        ),
    ),
    "kernels/ops/smooth_rows.py": (
        (
            "op0=nl.less, operand0=float(n_experts)",
            "op0=nl.less_equal, operand0=float(n_experts)",
            "E counts as an expert",
        ),
        (
            "vector_offset=self._choices.ids[:, j : j + 1]",
            "vector_offset=self._choices.ids[:, 0:1]",
            "always the first choice",
        ),
        ("if columns != self._loaded:", "if not self._loaded.size:", "the first window's smooth row throughout"),
    ),
    "kernels/ops/selected_rows.py": (
        ("accumulate=s > 0", "accumulate=False", "only the last tile of slots counts"),
        ("first = p * E + experts.start", "first = p * E", "later experts in the slots of the first"),
        ("if p < PARTS - 1:", "if p < PARTS - 2:", "the middle part takes all that is left"),
    ),
}
