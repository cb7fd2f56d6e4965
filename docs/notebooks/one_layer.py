# %% [markdown]
# # One layer, two variants
#
# A Mixture-of-Experts layer by two implementations of `moe_cte`: the same result, different times. Without numerics the
# simulator computes shapes, integers and time only, which is enough to compare times: predicted, never measured.

# %%
import ml_dtypes
import numpy as np

import nkimoe
from nkimoe import MoECTEImplementation, MoECTESpec, SkipMode
from nkimoe.routing import build_block_mapping, route_softmax_top_k, scatter_affinities
from nkisim import Simulator

T, H, I, E, K, B = 512, 1024, 384, 16, 2, 128
rng, bf16 = np.random.default_rng(0), ml_dtypes.bfloat16
weights, experts = route_softmax_top_k(rng.standard_normal((T, E), dtype=np.float32), K)
mapping = build_block_mapping(experts, E, block_size=B)
print(f"{T} tokens, {T * K} pairs, in {len(mapping.block_to_expert)} blocks of {B}")

# %%
layer = dict(
    hidden_states=rng.standard_normal((T, H)).astype(bf16),
    expert_affinities_masked=scatter_affinities(weights, experts, E, dtype=bf16),
    gate_up_proj_weight=rng.standard_normal((E, H, 2, I), dtype=np.float32).astype(bf16),
    down_proj_weight=rng.standard_normal((E, I, H), dtype=np.float32).astype(bf16),
    token_position_to_id=mapping.token_position_to_id,
    block_to_expert=mapping.block_to_expert,
    block_size=B,
    skip_dma=SkipMode(skip_token=True),
)
simulator = Simulator(target="trn2", lnc=2, numerics=False)
runs = {
    variant.name: simulator.run(nkimoe.moe_cte, **layer, spec=MoECTESpec(variant))
    for variant in (MoECTEImplementation.shard_on_block, MoECTEImplementation.shard_on_i)
}
for name, run in runs.items():
    print(f"{name}: {run.profile.latency_us:.0f} us predicted, bound by {run.profile.bound_by}")

# %% [markdown]
# What bounds them is where to look next. With twice the HBM bandwidth:

# %%
for name, run in runs.items():
    faster = run.profile.what_if({"hbm": 2.0})
    print(f"{name}: {faster.latency_us:.0f} us predicted")
