# SPDX-License-Identifier: Apache-2.0
"""What a grouped GEMM decides before its first instruction: request, sizes of pieces, plan."""
