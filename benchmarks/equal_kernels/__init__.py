"""The same two tiled matmuls written for three systems: same sizes, same tiles, same loads, fp32.

Every module has `VERSION`, `matmul(left, right)` and `grouped_matmul(rows, weights, tile_experts)`, NumPy to NumPy.
A tile of the output is 128 x 512 and is summed over tiles of 128 of K; nothing is kept between output tiles.
"""

TILE_M, TILE_K, TILE_N = 128, 128, 512
