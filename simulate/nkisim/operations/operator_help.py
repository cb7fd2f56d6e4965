# SPDX-License-Identifier: Apache-2.0
"""What `help` prints of an operator: what it computes, where it may stand, and for which inputs it is right."""

from __future__ import annotations

from nkisim.operations.activation_range import RANGES
from nkisim.operations.operators import Operator

FORMULAS = {
    "add": "x + y", "subtract": "x - y", "multiply": "x * y", "maximum": "max(x, y)", "minimum": "min(x, y)",
    "logical_and": "x != 0 and y != 0", "logical_or": "x != 0 or y != 0", "logical_xor": "(x != 0) != (y != 0)",
    "equal": "x == y", "not_equal": "x != y", "greater_equal": "x >= y", "greater": "x > y", "less_equal": "x <= y",
    "less": "x < y", "power": "x ** y",
    "abs_max": "x if abs(x) > abs(y) else y", "abs_min": "x if abs(x) < abs(y) else y",
    "bitwise_and": "x & y", "bitwise_or": "x | y", "bitwise_xor": "x ^ y", "left_shift": "x << y",
    "right_shift": "x >> y", "invert": "~x",
    "abs": "abs(x)", "square": "x * x", "relu": "max(x, 0)", "rsqrt": "1 / sqrt(x)", "reciprocal": "1 / x",
    "copy": "x", "sigmoid": "1 / (1 + exp(-x))", "silu": "x / (1 + exp(-x))",
    "silu_dx": "(1 + exp(-x) + x * exp(-x)) / (1 + exp(-x)) ** 2",
    "gelu": "x * (1 + erf(x / sqrt(2))) / 2",
    "gelu_apprx_tanh": "x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3))) / 2",
    "gelu_apprx_sigmoid": "x / (1 + exp(-1.702 * x))",
    "tanh": "tanh(x)", "exp": "exp(x)", "log": "log(x)", "sqrt": "sqrt(x)", "sign": "(x > 0) - (x < 0)",
    "sin": "sin(x)", "arctan": "atan(x)", "erf": "erf(x)", "erf_dx": "2 / sqrt(pi) * exp(-x * x)",
    "gelu_dx": "(1 + erf(x / sqrt(2))) / 2 + x * exp(-x * x / 2) / sqrt(2 * pi)",
    "gelu_apprx_sigmoid_dx": "(1 + exp(-1.702 * x) * (1 + 1.702 * x)) / (1 + exp(-1.702 * x)) ** 2",
    "softplus": "log(1 + exp(x))", "mish": "x * tanh(log(1 + exp(x)))",
    "prelu": "x if x > 0 else x * y", "bypass": "x", "average": "mean(x)",
}  # fmt: skip
"""By name, in Python's notation with the functions of `math`; which a test evaluates. A comparison gives 1 or 0."""


def operator_help(op: Operator, called: str = "") -> str:
    """The docstring of an operator. `called` says what it does on tiles, where that is something else."""
    if not op.alu and not op.activation:
        return f"{FORMULAS[op.name]}: only for op=, of the instructions that name it."
    engines = ("the Vector Engine and GpSimd" * op.alu, "the Scalar Engine" * op.activation)
    facts = [f"As op= on {' and '.join(filter(None, engines))}{', to reduce, too' * op.reducible}."]
    if op.name in RANGES:
        low, high = RANGES[op.name]
        facts.append(f"On the Scalar Engine for magnitudes of {low:g} to {high:g}.")
    if op.bitwise:
        facts.append("Of the bits of integers of one type.")
    if op.since > 3:
        facts.append(f"From NeuronCore-v{op.since} on.")
    return "\n\n".join([f"{FORMULAS[op.name]}", "\n".join(facts), called or _CALLED[op.arity]])


_RESULT = "dtype, by default that of the first tile"
_CALLED = {
    1: f"""Called: a new SBUF tile of x's shape; x is a tile in SBUF or PSUM. The result has {_RESULT}.

Raises:
    ArgumentError: x is no tile on chip.""",
    2: f"""Called: a new SBUF tile; x and y are tiles of one rank in SBUF or PSUM, whose sizes are equal or 1, or one is
a number. The result has {_RESULT}.

Raises:
    ArgumentError: neither is a tile, or one is not on chip.
    ShapeError: the shapes do not broadcast.""",
}
