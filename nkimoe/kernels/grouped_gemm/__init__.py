"""The grouped GEMM: one projection of each pair, by its expert, into a row of its own."""

from nkimoe.kernels.grouped_gemm.program import run_gemm

__all__ = ["run_gemm"]
