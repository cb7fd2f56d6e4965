"""Operations of aiter under the names, options and columns of its benchmarks; times are predicted."""
