"""The dense MLP of prefill (cte) and decoding (tkg)."""

from conformance.family import Family, PeerBug

_FOLDER = "test/integration/nkilib/core/mlp"
_SYNTAX = PeerBug(
    r"test_mlp_(cte|tkg)\.py$",
    "core/mlp/mlp.py of commit d2ad3a5 is not valid Python (IndentationError); on the branch 2.29_release it is",
)

MLP = (
    Family("mlp_cte", (f"{_FOLDER}/test_mlp_cte.py",), largest={"seqlen": 2048}, bugs=(_SYNTAX,)),
    Family("mlp_tkg", (f"{_FOLDER}/test_mlp_tkg.py",), bugs=(_SYNTAX,)),
    Family("mlp-mxfp4", (f"{_FOLDER}/test_mlp_proj_mxfp4.py",)),
)
