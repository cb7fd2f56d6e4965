"""Which kernels of public repositories are run, and what they compute."""

from __future__ import annotations

from foreign import calls
from foreign.public import PublicKernel

ADVANCED = {
    "0_cumsum": calls.cumsum, "1_transpose": calls.transpose_3d, "2_maxpool": calls.max_pool,
    "3_rope": calls.rope_columns, "4_conv1d": calls.depthwise_conv, "6_csa_2048": calls.causal_attention,
    "8_mha": calls.causal_attention_of_heads,
}  # fmt: skip
TUTORIAL = {
    "0_rmsnorm": calls.rms_norm, "1_layernorm": calls.layer_norm, "2_gemm": calls.gemm_bf16, "3_mamba": calls.mamba,
    "4_attention": calls.attention_columns, "5_sdattention": calls.attention_rows,
}  # fmt: skip
INTERNAL = {
    "10_openfold3_trimul": calls.square_gemm, "12_flashvsr_fp32attn": calls.attention_without_transposes,
    "15_gemm": calls.gemm_bf16, "3_triattn": calls.triangle_attention, "4_trimul": calls.triangle_multiply,
    "8_deltanet_recurrent": calls.delta_rule,
}  # fmt: skip
NAMES = {
    "6_csa_2048": "flash_attention_core",
    "8_mha": "flash_attention_core",
    "1_layernorm": "nki_layernorm_kernel_v2",
    "3_mamba": "mamba_v3",
}


def _autocomp() -> list[PublicKernel]:
    """Its references in today's language, and its solutions."""
    found = []
    for folder, kernels in (
        ("trn-advanced-nki2", ADVANCED),
        ("trn-tutorial-nki2", TUTORIAL),
        ("trn-internal", INTERNAL),
    ):
        for name, call in kernels.items():
            reference = NAMES.get(name, "ref")
            found.append(PublicKernel("ucb-bar/autocomp", f"harnesses/{folder}/{name}_test.py", reference, call))
            found.append(PublicKernel("ucb-bar/autocomp", f"sols/{folder}/{name}_ref.py", "solution", call))
    return found


PSUM = "PSUM has 16 KiB a partition: `nki.language.tile_size`; these keep 128 KiB there, for a simulation in NumPy"
IN_PSUM = (*range(12, 16),)  # of its steps, those whose PSUM tiles fit


def _autotune() -> list[PublicKernel]:
    """Steps of its transformations of a matmul of 2048, and its kernels by hand."""
    repository, matmul = "awslabs/nki-autotune", "kernel_library/matmul"
    steps = [
        PublicKernel(
            repository, "kernel_transforms.py", name, calls.gemm_2048, illegal="" if number in IN_PSUM else PSUM
        )
        for number, name in enumerate((*(f"kernel_{n}" for n in range(16)), "kernel_partial"))
    ]
    by_hand = (
        (f"{matmul}/lhsT_rhs/kernel_hand_90.92mfu.py", "matmul_lhsT_rhs_nkigym", calls.gemm_2048),
        (f"{matmul}/lhs_rhs/kernel_handtuned_89.26mfu.py", "matmul_lhs_rhs_nkigym", calls.gemm_of_rows),
        ("kernel_library/rmsnorm_matmul/kernel_hand_online.py", "rmsnorm_matmul_online", calls.normed_gemm),
    )
    return [*steps, *(PublicKernel(repository, file, name, call) for file, name, call in by_hand)]


def _contest() -> list[PublicKernel]:
    """Of AWS's contest and of entries."""
    return [
        PublicKernel(repository, file, name, call)
        for repository in ("aws-neuron/nki-moe", "thustorage/NKI-MoE", "hwanggeunyi-snu/nki-moe")
        for file, name, call in (
            ("nki_custom_rmsnorm.py", "nki_rmsnorm_kernel", calls.rms_norm_with_eps),
            ("nki_tensor_add_example.py", "nki_tensor_add_kernel", calls.add),
        )
    ]


def _nkipy() -> list[PublicKernel]:
    norm = ("examples/models/qwen3/kernels/sampling.py", "examples/models/gpt_oss/kernels/nki/rmsnorm.py")
    return [
        *(PublicKernel("aws-neuron/nkipy", file, "nki_rmsnorm_kernel", calls.rms_norm_with_eps) for file in norm),
        PublicKernel("aws-neuron/nkipy", "examples/playground/simple_nki_kernel.py", "nki_tensor_add", calls.add),
    ]


def _delta_nets() -> list[PublicKernel]:
    """The gated delta rule, in NxD Inference's contributions and where they come from."""
    places = [
        ("aws-neuron/neuronx-distributed-inference", f"contrib/models/{model}/src/nki_kernels/nki_deltanet.py")
        for model in ("Qwen3.5-2B", "Qwen3.5-35B-A3B")
    ]
    places.append(
        ("KevGomes1403/trainium-model-translation", "models/qwen3_6_moe/nki_kernels/deltanet/decode/recurrent.py")
    )
    return [
        PublicKernel(repository, file, name, call)
        for repository, file in places
        for name, call in (
            ("deltanet_recurrent_fwd", calls.delta_rule),
            ("deltanet_recurrent_fwd_state", calls.delta_rule_with_state),
        )
    ]


def _inference() -> list[PublicKernel]:
    """Of neuronx-distributed-inference itself."""
    given = {"get_verified_program_sharding_info": calls.in_cores, "kernel_assert": calls.required}
    repository, folder = "aws-neuron/neuronx-distributed-inference", "src/neuronx_distributed_inference"
    kernels = (
        ("modules/kvcache/utils.py", "write_kv_cache_at_batch_kernel", calls.write_cache, 2),
        ("modules/eagle/hidden_state.py", "rolling_buffer_set_state", calls.roll_in, 1),
        ("utils/distributed.py", "split_along_dim0_kernel", calls.part_of, 2),
    )
    return [
        PublicKernel(repository, f"{folder}/{file}", name, call, cores, given=given)
        for file, name, call, cores in kernels
    ]


def _triton_viz() -> list[PublicKernel]:
    folder = "examples/nki_beta2"
    return [
        PublicKernel(
            "Deep-Learning-Profiling-Tools/triton-viz",
            f"{folder}/matmul.py",
            "matmul_kernel",
            calls.in_place(calls.gemm),
        ),
        PublicKernel(
            "Deep-Learning-Profiling-Tools/triton-viz",
            f"{folder}/softmax.py",
            "softmax_kernel",
            calls.in_place(calls.softmax_rows),
        ),
    ]


KERNELS = (*_autocomp(), *_autotune(), *_contest(), *_nkipy(), *_delta_nets(), *_inference(), *_triton_viz())
