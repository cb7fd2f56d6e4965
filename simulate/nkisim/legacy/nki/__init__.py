# SPDX-License-Identifier: Apache-2.0
"""The names of `neuronxcc.nki`, NKI 0.1, simulated."""

from nkisim.language.annotations import tensor
from nkisim.legacy.benchmarks import benchmark, profile
from nkisim.legacy.kernel import baremetal, jit, simulate_kernel
from nkisim.legacy.nki import compiler, isa, language, typing

__all__ = [
    "baremetal", "benchmark", "compiler", "isa", "jit", "language", "profile", "simulate_kernel", "tensor", "trace",
    "typing",
]  # fmt: skip

trace = jit
