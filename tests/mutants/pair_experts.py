"""Mistakes in what operations with experts add to the kernels: a row for each choice, and rows to add to."""

MISTAKES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "kernels/stages/sum_of_choices.py": (
        ("data2=rows[:, j, own.slice]", "data2=rows[:, k - j, own.slice]", "choices added in another order"),
        ("range(1, k)", "range(1, k - 1)", "the last choice left out"),
        ("data1=so_far, data2", "data1=rows[:, 0, own.slice], data2", "the choices between left out"),
        ("        if k == 1:\n", "        if False:\n", "a single choice is never copied"),
        ("        if self._has_gaps:\n", "        if False:\n", "rows of pairs without a slot never cleared"),
        (
            "self._tiles(self.slab.rows))\n            self._meet()\n",
            "self._tiles(self.slab.rows))\n",
            "cleared after it is written",
        ),
        ("        self._meet()\n        k, own", "        k, own", "choices added before the other core wrote them"),
        ("tokens.start * k * H + columns.start", "tokens.start * k * H", "the first columns of choices again"),
        ("offset=tokens.start * H + columns.start", "offset=tokens.start * H", "sums over the first columns"),
        ("dtype if pairs.rounds_each else nl.float32", "dtype", "choices rounded though only their sum should be"),
        ("return part.pairs", "return part.ids", "choices of a token laid over each other"),
        ("min(own.size, each), own.start)", "min(own.size, each))", "both cores add the first columns"),
        ("p.cores > 1 and written.size == p.H", "p.cores > 1", "cores take turns at rows though each has columns"),
    ),
    "kernels/stages/combine.py": (
        (
            "data1=scale, data2=affinity, op",
            "data1=scale, data2=scale, op",
            "the scale of activations squared, no affinity",
        ),
        (
            "data1=product.data, data2=product.factor, op",
            "data1=product.data, data2=product.data, op",
            "products squared",
        ),
    ),
    "kernels/stages/update_output.py": (
        ("data=given, scale=self._factor", "data=given", "added rows without their factor"),
        ("        clear(given)\n", "", "added rows of pads are garbage"),
        ("scaled[:, first : first + product", "scaled[:, 0 : product", "the first columns added to all"),
        ("add_to(new, product, scale, scaled", "add_to(new, product, 1.0, scaled", "activations without their scale"),
    ),
    "routing/pair_blocks.py": (
        ("positions // max(topk_ids.shape[1], 1)", "positions % max(topk_ids.shape[0], 1)", "tokens counted by choice"),
        ("np.where(is_pad, pairs, positions)", "np.where(is_pad, 0, positions)", "pads write over the first pair"),
        ("int((~is_pad).sum()) < pairs", "int((~is_pad).sum()) > pairs", "gaps are not noticed"),
        ("topk_weights.reshape(-1)", "topk_weights.T.reshape(-1)", "weights of other pairs"),
    ),
    "kernels/stages/loop_routing.py": (
        (
            "self._slots(pairs.positions, p.rows * pairs.choices,",
            "self._slots(self._request.token_position_to_id, p.rows * pairs.choices,",
            "the loop writes to the rows of tokens",
        ),
        ("pairs.weights, 0, first, n)", "pairs.weights, 0, 0, n)", "weights of the first window for all"),
        (
            "_load_row(tile, self._weights, iteration, ahead)",
            "_load_row(tile, self._weights, iteration, 0)",
            "weights of the iteration before",
        ),
    ),
    "planning/plan.py": (
        (
            "    if request.pairs is not None:\n        return BY_CHOICE",
            "    if request.pairs is not None:\n        return SLABS",
            "rows of choices in a slab of tokens",
        ),
    ),
}
