# SPDX-License-Identifier: Apache-2.0
"""What stands instead of each construct of NKI 0.1, and why: facts of AWS's migration guides."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Replacement:
    """What to change at a line.

    Attributes:
        file, line: where; construct: what of NKI 0.1 stands there; source: its text.
        write: what to write; why: the reason; decision: what the author has to decide, or "".
    """

    file: str
    line: int
    construct: str
    source: str
    write: str
    why: str
    decision: str = ""

    def __str__(self) -> str:
        decision = f"\n    decide: {self.decision}" if self.decision else ""
        text = f"{self.file}:{self.line}: {self.construct}: {self.source}"
        return f"{text}\n    write: {self.write}\n    why: {self.why}{decision}"


RANGES = ("affine_range", "sequential_range", "static_range")
RUNNERS = {
    "simulate_kernel": ("nki.simulate(kernel)(*args)", "nki.simulate takes the place of nki.simulate_kernel"),
    "baremetal": ("@nki.jit", "kernels run through nki.jit alone"),
    "benchmark": (
        "nkisim run for a prediction, the profiler of the runtime on a device",
        "nki.benchmark was removed with neuronxcc.nki",
    ),
    "profile": ("@nki.jit, and the profiler of the runtime", "nki.profile was removed with neuronxcc.nki"),
}
NO_LONGER_IN_NL = {
    "static_cast": ("nisa.tensor_copy(dst=tile_of_the_type, src=x)", "the type of dst decides"),
    "loop_reduce": ("a tile before the loop, and nisa.tensor_tensor(dst=total, ...) in it", "loops run as Python's"),
    "atomic_rmw": ("nisa.dma_compute(dst, [dst, src], reduce_op=nl.add)", "a DMA that computes does it"),
    "spmd_dim": ("a loop inside the kernel", "a launch grid has one axis of cores"),
    "nc": ("kernel[2]", "the launch grid counts cores"),
    "fp32": ("-3.4028234663852886e38", "the constants of nl.fp32 were removed"),
}
TILE_OPERATORS = {
    "Add": "add", "Sub": "subtract", "Mult": "multiply", "Div": "multiply by nl.reciprocal", "Pow": "power",
    "Lt": "less", "LtE": "less_equal", "Gt": "greater", "GtE": "greater_equal", "USub": "negative",
    "BitAnd": "bitwise_and", "BitOr": "bitwise_or", "Eq": "equal", "NotEq": "not_equal", "Mod": "mod",
}  # fmt: skip

# Instructions whose result was returned.
RETURNED = frozenset({
    "activation", "activation_reduce", "affine_select", "bn_aggr", "bn_stats", "dma_transpose", "dropout", "iota",
    "local_gather", "max8", "memset", "nc_find_index8", "nc_match_replace8", "nc_matmul", "nc_transpose",
    "range_select", "reciprocal", "scalar_tensor_tensor", "sequence_bounds", "tensor_copy", "tensor_partition_reduce",
    "tensor_reduce", "tensor_scalar", "tensor_scalar_reduce", "tensor_tensor", "tensor_tensor_scan",
    "tensor_copy_dynamic_src",
})  # fmt: skip
CHANGED_ARGUMENTS = {
    "affine_select": "pattern=, channel_multiplier=, offset= and cmp_op= take the place of pred=",
    "iota": "pattern=, offset= and channel_multiplier= take the place of the index expression",
    "memset": "the shape is that of dst",
    "nc_stream_shuffle": "dst comes before src",
    "tensor_copy_dynamic_src": "nisa.tensor_copy of a view with .ap(scalar_offset=) takes its place",
    "tensor_copy_dynamic_dst": "nisa.tensor_copy to a view with .ap(scalar_offset=) takes its place",
}
