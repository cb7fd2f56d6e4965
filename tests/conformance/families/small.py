"""Kernels of one purpose: norms, rotary embedding, routing, top-k, reductions, indices, convolution, loss."""

from conformance.family import OLDER_SCALES, ZEROS, Family, PeerBug

_CORE = "test/integration/nkilib/core"
_NEW = "test/integration/nkilib/experimental"
_NO_MODULE = PeerBug(r"test_topk_reduce\.py$", "the test of commit d2ad3a5 imports a kernel that commit does not have")
SMALL = (
    Family("rmsnorm_quant", (f"{_CORE}/rmsnorm/test_rmsnorm_quant.py",)),
    Family(
        "norms",
        tuple(f"{_CORE}/subkernels/test_{name}_tkg.py" for name in ("rmsnorm", "layernorm", "rmsnorm_mx_quantize")),
        environment=ZEROS | OLDER_SCALES,
    ),
    Family("rope", (f"{_CORE}/embeddings/test_rope.py", f"{_CORE}/embeddings/test_rope_hf.py")),
    Family("router_topk", (f"{_CORE}/router_topk/test_router_topk.py",)),
    Family(
        "topk",
        (f"{_CORE}/topk/test_topk.py", f"{_NEW}/subkernels/test_topk_reduce.py"),
        largest={"batch": 64},  # of 1,024
        bugs=(_NO_MODULE,),
    ),
    Family("cumsum", (f"{_CORE}/cumsum/test_cumsum.py",)),
    Family("cascaded_max", (f"{_CORE}/max/test_cascaded_max.py", f"{_CORE}/max/test_cascaded_max_utils.py")),
    Family(
        "indices",
        (
            f"{_CORE}/subkernels/test_find_nonzero_indices.py",
            f"{_CORE}/subkernels/test_indexed_flatten.py",
            f"{_NEW}/benchmark/test_find_nonzero_indices_with_count.py",
        ),
    ),
    Family(
        "views",
        tuple(f"{_CORE}/utils/test_{name}.py" for name in ("tensor_view", "cross_partition_copy", "tp_broadcast")),
    ),
    Family(
        "mx",
        (f"{_CORE}/utils/test_quantize_to_mx.py", f"{_NEW}/mxfp_subkernels/test_mxfp_load.py"),
        environment=ZEROS | OLDER_SCALES,
    ),
    Family("conv", (f"{_NEW}/conv/test_conv1d.py", f"{_NEW}/conv/test_depthwise_conv1d.py")),
    Family(
        "loss",
        (f"{_NEW}/loss/test_cross_entropy_forward.py", f"{_NEW}/loss/test_cross_entropy_backward.py"),
        largest={"T": 512},  # of 8,192 positions, with vocabularies of up to 152,000
    ),
    Family("dynamic_shapes", (f"{_NEW}/dynamic_shapes/test_dynamic_elementwise_add.py",)),
)
