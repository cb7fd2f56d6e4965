# SPDX-License-Identifier: Apache-2.0
"""The grouped GEMM: one projection of each pair, by its expert, into a row of its own."""

from nkimoe.kernels.grouped_gemm.program import run_gemm, run_gemm_for_next

__all__ = ["run_gemm", "run_gemm_for_next"]
