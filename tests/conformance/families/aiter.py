"""Operations of ours beside the torch references of aiter's own tests, from a checkout; its kernels do not run here."""

from conformance.family import Family, PeerBug

_SATURATED = PeerBug(
    "test_sigmoid_top_1",
    "the largest sigmoid is sought, not the largest logit: from about 17 on all sigmoids are 1, and the first one wins",
    message="ours wrong in 0, theirs wrong in",
)

AITER = (
    Family("aiter-gemm", ("cases/aiter_gemm.py",), source="aiter", largest={"N": 2048}),
    Family("aiter-two_stage", ("cases/aiter_two_stage.py",), source="aiter", largest={"N": 2048}),
    Family("aiter-routing", ("cases/aiter_routing.py",), source="aiter", bugs=(_SATURATED,)),
    Family(
        "aiter-smoothquant",
        ("cases/aiter_smoothquant.py",),
        source="aiter",
        largest={"m": 256, "n": 1024, "k": 2048, "n_expts_tot": 32},
    ),
)
