"""Mixture of experts: prefill (moe_cte) in all its variants, decoding (moe_tkg), and the block around it."""

from conformance.family import OLDER_SCALES, ZEROS, Family, PeerBug

_FOLDER = "test/integration/nkilib/core/moe"
_DIRECT = (f"{_FOLDER}/moe_cte/test_moe_cte.py",)
_MX = (f"{_FOLDER}/moe_cte/test_moe_bwmm_mx_cte.py",)
_ENTRY = (f"{_FOLDER}/moe_cte/test_moe_cte_unified.py",)
_TOKENS = {"tokens": 1024, "tok": 1024}  # of 10240; blocks and the rest stay as they are
_EXPERTS = {"expert": 32, "exp": 32}  # of 64 and 128: their weights are drawn in float64, up to 9 GiB
_FEW = _TOKENS | {"expert": 16, "exp": 16}  # of 128: the generator of MX data of the tests takes minutes for so many
_ZEROED_LATE = PeerBug(
    "test_bwmm_bwd",
    "each core zeroes the affinity gradients of half the experts, and both write those of the first expert, with "
    "no barrier in between (bwmm_bwd_dropless.py:123 and 687, NKI403); with one, all outputs agree where tried",
    message="^expert_affinities_masked_grad: relative L2 [0-9.]+$",
)

MOE = (
    Family("moe_cte", _DIRECT, largest=_TOKENS | _EXPERTS, leave_out="MODEL_WIP|DROPPING", seconds=400),
    Family("moe_cte-dropping", _DIRECT, leave_out=r"MODEL_WIP|Func\.(?!SHARD_ON_INTERMEDIATE_DROPPING)", seconds=400),
    Family("moe_cte-mx", _MX, largest=_FEW, leave_out=r"_sweep\[|_model\[", unskip=".", seconds=600, environment=ZEROS),
    Family(
        "moe_cte-gpt_oss",
        _MX,
        largest=_FEW,
        leave_out=r"^((?!_model\[).)*$",
        unskip=r"_model\[",
        target="trn3",
        seconds=600,
        environment=ZEROS,
    ),
    Family("moe_cte-entry", _ENTRY, leave_out="impl-4", seconds=400),
    Family(
        "moe_cte-entry-mx",
        _ENTRY,
        largest=_FEW,
        leave_out="impl-[^4]",
        target="trn3",
        adapt="scales_in_a_config",
        environment=ZEROS,
        seconds=400,
    ),
    Family("moe_tkg", (f"{_FOLDER}/moe_tkg/test_moe_tkg.py",), leave_out="MODEL_WIP", environment=ZEROS),
    Family(
        "moe_block_tkg",
        ("test/integration/nkilib/core/moe_block/test_moe_block_tkg.py",),
        leave_out="kernel_model",
        environment=ZEROS | OLDER_SCALES,
    ),
    Family("moe-shard_on_h", ("test/integration/nkilib/experimental/moe/test_bwmm_shard_on_H.py",)),
    Family(
        "moe-backward",
        ("test/integration/nkilib/experimental/moe/test_bwmm_bwd.py",),
        largest=_TOKENS | {"expert": 8},
        bugs=(_ZEROED_LATE,),
        seconds=400,
    ),
)
