"""Attention, and the projections before and after it."""

from conformance.family import Family, PeerBug

_CORE = "test/integration/nkilib/core"
_NO_OUTPUT = PeerBug(
    r"_mask_generation|test_flat_kv_with_active_mask|test_block_kv_with_active_mask",
    "the test looks for an input mask_out_hbm that its own generator does not make (commit d2ad3a5)",
)
_NO_IMPORT = PeerBug(
    r"test_qkv_tkg\.py$",
    "the test module of commit d2ad3a5 uses Platforms and does not import it; that of 2.29_release does",
)

ATTENTION = (
    Family("attention_cte", (f"{_CORE}/attention/test_attention_cte.py",)),
    Family("attention_tkg", (f"{_CORE}/attention/test_attention_tkg.py",), leave_out="test_attn_tkg_model"),
    Family("attention_bwd", (f"{_CORE}/attention/test_attention_bwd.py",)),
    Family("attention-masks", (f"{_CORE}/attention/test_gen_mask_tkg.py",), bugs=(_NO_OUTPUT,)),
    Family("qkv_cte", (f"{_CORE}/qkv/test_qkv_cte.py",)),
    Family("qkv_tkg", (f"{_CORE}/qkv/test_qkv_tkg.py",), bugs=(_NO_IMPORT,)),
    Family(
        "output_projection",
        (
            f"{_CORE}/output_projection/test_output_proj_cte.py",
            f"{_CORE}/output_projection/test_output_proj_tkg.py",
        ),
        largest={"batch": 16, "seqlen": 1024, "hidden": 8192},  # of 128, 16k and 16k; the references are in float32
    ),
    Family(
        "attention_block",
        ("test/integration/nkilib/experimental/transformer/test_attention_block_tkg.py",),
        leave_out="test_attn_blk_model",
        largest={"S_ctx": 32768, "S_max_ctx": 32768},  # of 524,288
    ),
)
