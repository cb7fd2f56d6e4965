"""Operations of ours beside the torch references of aiter's own tests, from a checkout; its kernels do not run here."""

from conformance.family import Family, PeerBug

_SATURATED = PeerBug(
    "test_sigmoid_top_1",
    "the largest sigmoid is sought, not the largest logit: from about 17 on all sigmoids are 1, and the first one wins",
    message="ours wrong in 0, theirs wrong in",
)

_OURS = "^within the tolerance of fp64: ours;"
_UNSCALED_SUMS = PeerBug(
    r"-float16-.*fp8_w8a8-left_out",
    "sums of products of fp8 codes become fp16 before they are scaled, and infinite beyond 65504",
    message=_OURS,
)
_UNSCALED_GELU = PeerBug(
    r"-gelu-(int8_w8a16|fp8_w8a8)-left_out",
    "GELU of sums of products that are not scaled yet",
    message=_OURS,
)
_PAIRS_BEYOND_FP16 = PeerBug(
    "test_moe_e2e.*-float16-.*left_out",
    "each pair becomes fp16 before it is weighted, and infinite beyond 65504; where sums are beyond, ours are, too",
    message="theirs inf$",
)
_CANCELLED = PeerBug(
    "test_moe_e2e",
    "results near zero are differences of large numbers, which the reference rounds to 16 bits at every step: it is "
    "not within its own tolerance of fp64, and where no 16-bit result can be, nor is ours",
    message="^within the tolerance of fp64: (neither|ours);",
)

AITER = (
    Family(
        "aiter-gemm",
        ("cases/aiter_gemm.py",),
        source="aiter",
        largest={"N": 2048},
        bugs=(_UNSCALED_SUMS, _UNSCALED_GELU),
    ),
    Family(
        "aiter-two_stage",
        ("cases/aiter_two_stage.py",),
        source="aiter",
        largest={"N": 2048},
        bugs=(_PAIRS_BEYOND_FP16, _CANCELLED),
    ),
    Family("aiter-routing", ("cases/aiter_routing.py",), source="aiter", bugs=(_SATURATED,)),
    Family(
        "aiter-smoothquant",
        ("cases/aiter_smoothquant.py",),
        source="aiter",
        largest={"m": 256, "n": 1024, "k": 2048, "n_expts_tot": 32},
    ),
)
