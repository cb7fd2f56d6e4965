"""What a grouped GEMM decides before its first instruction: request, sizes of pieces, plan."""
