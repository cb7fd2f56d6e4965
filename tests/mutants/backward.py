"""Mistakes in the backward pass."""

MISTAKES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "planning/backward/plan.py": (
        (
            "1 if core == 0 else -1",
            "1",
            "both cores upwards: an expert that they share is written before it is complete",
        ),
    ),
    "kernels/backward/routing.py": (
        ("tiles)), p.B, p.pad,", "tiles)), p.B, 0,", "slots behind the end of a block hold token 0"),
        (
            "dst=self._keep[:, after], data1=experts[:, after], data2=experts[:, before], op=nl.equal",
            "dst=self._keep[:, after], data1=experts[:, after], data2=experts[:, before], op=nl.not_equal",
            "gradients of another expert kept, of the same one forgotten",
        ),
        (
            "unless_equal(self._to_store[:, before], first[:, before], first[:, after], E)",
            "unless_equal(self._to_store[:, after], first[:, after], first[:, before], E)",
            "an expert's gradients written behind its first block",
        ),
    ),
    "kernels/backward/weights.py": (
        (
            "offset=(inner.start + first * PARTITIONS) * H,",
            "offset=first * PARTITIONS * H,",
            "every pass over I uses the first rows of the down weights",
        ),
    ),
    "kernels/backward/gate_gradient.py": (
        ("nl.less, upper", "nl.less_equal, upper", "gradient through a value at its upper limit"),
        ("nl.greater, lower", "nl.greater_equal, lower", "gradient through a value at its lower limit"),
        (
            "self._limited(dst[:, n:], weighted, self._value, self._up, plan.up_limits)",
            "self._limited(dst[:, n:], weighted, self._slope, self._up, plan.up_limits)",
            "gradient of up multiplied by the derivative of the activation",
        ),
        ("        self._times_up(weighted, weighted)\n", "", "gradient of the gate without up"),
        (
            "nisa.activation(dst=weighted, op=nl.copy, data=d_m[:, 0:n], scale=affinity)",
            "nisa.activation(dst=weighted, op=nl.copy, data=d_m[:, 0:n])",
            "gradients of gate and up without the affinity",
        ),
    ),
    "kernels/backward/slopes.py": (
        (
            "nisa.tensor_scalar(dst=slope, data=x, op0=nl.greater, operand0=0.0)",
            "nisa.tensor_scalar(dst=slope, data=x, op0=nl.less, operand0=0.0)",
            "derivative of ReLU mirrored",
        ),
        ("operand0=3 * CUBIC", "operand0=CUBIC", "tanh GELU's inner derivative"),
    ),
    "kernels/backward/weight_gradients.py": (
        ("accumulate=t > 0", "accumulate=False", "only the last tile of slots counts for the weights"),
        ("        if not step.part.opens_block:\n", "        if False:\n", "later parts of a block forget the first"),
        (
            "            unless_equal(expert, experts[0:1, 1:2], experts[0:1, 0:1], E)\n",
            "            nisa.memset(dst=expert, value=E)\n",
            "the second core's last expert never written",
        ),
    ),
    "kernels/backward/hidden_gradient.py": (
        (
            "if len(self._slabs) > 1:\n            for slab in self._slabs:",
            "if False:\n            for slab in self._slabs:",
            "cores do not wait for each other's sums",
        ),
        ("data2=rest[0], op=nl.add", "data2=rest[0], op=nl.maximum", "slabs not added"),
    ),
    "kernels/backward/affinity_gradient.py": (
        ("if step.inner.start == 0:", "if True:", "affinities keep the last pass over I alone"),
    ),
    "kernels/backward/zeros.py": (
        ("operand0=float(E), op1=nl.add", "operand0=0.0, op1=nl.add", "used experts cleared, too"),
    ),
    "kernels/backward/block_program.py": (
        (
            "beside = chain(beside, turn_gate_up(following, after, layer))\n    emit(gate_up, beside)",
            "emit(gate_up, beside)",
            "gate and up weights of the first expert throughout",
        ),
    ),
}
