# SPDX-License-Identifier: Apache-2.0
"""What AWS publishes in `nki.isa`, `nki.language` and `nki.collectives`: names, parameters, defaults.

Facts of the API reference of NKI 0.2 to 0.7, one name a line behind the first version known to have it. A default of
`...` is not printed in the reference.
"""

ISA = """
0.4 activate2(dst, op, data, imm0, imm1, op0, op1, relu_param=0.0, reverse0=False, reverse1=False, reduce_op=None,
        reduce_res=None, reduce_cmd=reduce_cmd.idle, name=None)
0.2 activation(dst, op, data, bias=None, scale=1.0, reduce_op=None, reduce_res=None, reduce_cmd=reduce_cmd.idle,
        name=None)
0.2 activation_reduce(dst, op, data, reduce_op, reduce_res, bias=None, scale=1.0, name=None)
0.2 affine_select(dst, pattern, channel_multiplier, on_true_tile, on_false_value, cmp_op=equal, offset=0, name=None)
0.2 bn_aggr(dst, data, name=None)
0.2 bn_stats(dst, data, name=None)
0.2 core_barrier(data, cores, engine=engine.gpsimd, name=None)
0.2 dma_compute(dst, srcs, reduce_op, scales=None, unique_indices=True, oob_mode=oob_mode.error, name=None)
0.2 dma_copy(dst, src, priority=None, oob_mode=oob_mode.error, dge_mode=dge_mode.unknown, engine=engine.unknown,
        name=None)
0.2 dma_transpose(dst, src, axes=None, priority=None, dge_mode=dge_mode.unknown, oob_mode=oob_mode.error, name=None)
0.2 dropout(dst, data, prob, name=None)
0.3 exponential(dst, src, max_value=0.0, reduce_res=None, reduce_cmd=reduce_cmd.idle, reduce_init=0.0, name=None)
0.5 get_nc_sub_version()
0.2 get_nc_version()
0.2 iota(dst, pattern, offset=0, channel_multiplier=0, name=None)
0.2 local_gather(dst, src_buffer, index, num_elem_per_idx=1, num_valid_indices=None, name=None)
0.2 max8(dst, src, name=None)
0.2 memset(dst, value, engine=engine.unknown, name=None)
0.2 nc_find_index8(dst, data, vals, name=None)
0.2 nc_match_replace8(dst, data, vals, imm, dst_idx=None, name=None)
0.2 nc_matmul(dst, stationary, moving, is_stationary_onezero=False, is_moving_onezero=False, is_transpose=False,
        accumulate=None, tile_position=(), tile_size=(), perf_mode=matmul_perf_mode.none, name=None)
0.2 nc_matmul_mx(dst, stationary, moving, stationary_scale, moving_scale, tile_position=None, tile_size=None,
        accumulate=None, name=None)
0.2 nc_n_gather(dst, data, indices, name=None)
0.2 nc_stream_shuffle(dst, src, shuffle_mask, name=None)
0.2 nc_transpose(dst, data, engine=engine.unknown, name=None)
0.2 nonzero_with_count(dst, src, index_offset=0, padding_val=-1, name=None)
0.2 quantize_mx(dst, src, dst_scale, name=None)
0.2 rand2(dst, min, max, name=None)
0.2 rand_get_state(dst, engine=engine.gpsimd, name=None)
0.2 rand_set_state(src_seeds, engine=engine.gpsimd, name=None)
0.2 range_select(dst, on_true_tile, comp_op0, comp_op1, bound0, bound1, reduce_cmd=reduce_cmd.reset_reduce,
        reduce_res=None, reduce_op=maximum, range_start=0, on_false_value=..., name=None)
0.2 reciprocal(dst, data, name=None)
0.2 register_alloc(x=None)
0.2 register_load(dst, src)
0.2 register_move(dst, src)
0.2 register_store(dst, src)
0.2 rng(dst, engine=engine.vector, name=None)
0.2 scalar_tensor_tensor(dst, data, op0, operand0, op1, operand1, reverse0=False, reverse1=False, name=None)
0.2 select_reduce(dst, predicate, on_true, on_false, reduce_res=None, reduce_cmd=reduce_cmd.idle, reduce_op=maximum,
        reverse_pred=False, name=None)
0.2 sendrecv(src, dst, send_to_rank, recv_from_rank, pipe_id, dma_engine=dma_engine.dma, name=None)
0.2 sequence_bounds(dst, segment_ids, name=None)
0.2 set_rng_seed(src_seeds, name=None)
0.2 tensor_copy(dst, src, engine=engine.unknown, name=None)
0.2 tensor_copy_predicated(dst, src, predicate, reverse_pred=False, name=None)
0.2 tensor_partition_reduce(dst, op, data, name=None)
0.2 tensor_reduce(dst, op, data, axis, negate=False, keepdims=False, name=None)
0.2 tensor_scalar(dst, data, op0, operand0, reverse0=False, op1=None, operand1=None, reverse1=False,
        engine=engine.unknown, name=None)
0.2 tensor_scalar_cumulative(dst, src, op0, op1, imm0, imm1=None, reduce_cmd=reduce_cmd.reset_reduce, name=None)
0.2 tensor_scalar_reduce(dst, data, op0, operand0, reduce_op, reduce_res=None, reverse0=False,
        reduce_cmd=reduce_cmd.reset_reduce, reduce_init=None, reduce_res_negate=False, name=None)
0.2 tensor_tensor(dst, data1, data2, op, engine=engine.unknown, name=None)
0.2 tensor_tensor_scan(dst, data0, data1, initial, op0, op1, reverse0=False, reverse1=False, name=None)
0.6 topk(val_dst, idx_dst, src, n, name=None)
"""

LANGUAGE = """
0.3 abs(x, dtype=None)
0.4 abs_max(x, y, dtype=None)
0.4 abs_min(x, y, dtype=None)
0.3 add(x, y, dtype=None)
0.2 affine_range(start, stop=None, step=1)
0.3 all(x, axis, dtype=None)
0.3 arctan(x, dtype=None)
0.3 bitwise_and(x, y, dtype=None)
0.3 bitwise_or(x, y, dtype=None)
0.3 bitwise_xor(x, y, dtype=None)
0.3 broadcast_to(x, shape, dtype=None)
0.3 ceil(x, dtype=None)
0.3 copy(x, dtype=None)
0.3 cos(x, dtype=None)
0.2 device_print(print_prefix, tensor)
0.3 divide(x, y, dtype=None)
0.3 dropout(x, rate, dtype=None)
0.2 ds(start, size)
0.2 dynamic_range(start, stop=None, step=1)
0.3 equal(x, y, dtype=None)
0.3 erf(x, dtype=None)
0.3 erf_dx(x, dtype=None)
0.3 exp(x, dtype=None)
0.3 expand_dims(x, axis)
0.3 floor(x, dtype=None)
0.3 fmod(x, y, dtype=None)
0.6 fori_loop(lower, upper, body_fun, step=1)
0.3 full(shape, fill_value, dtype, buffer=sbuf, name='')
0.3 gather_flattened(data, indices, axis=0, dtype=None)
0.3 gelu(x, dtype=None)
0.3 gelu_apprx_sigmoid(x, dtype=None)
0.3 gelu_apprx_sigmoid_dx(x, dtype=None)
0.3 gelu_apprx_tanh(x, dtype=None)
0.3 gelu_dx(x, dtype=None)
0.3 greater(x, y, dtype=None)
0.3 greater_equal(x, y, dtype=None)
0.3 invert(x, dtype=None)
0.6 is_hbm(buffer)
0.6 is_on_chip(buffer)
0.6 is_psum(buffer)
0.6 is_sbuf(buffer)
0.3 left_shift(x, y, dtype=None)
0.3 less(x, y, dtype=None)
0.3 less_equal(x, y, dtype=None)
0.3 load(src, dtype=None)
0.3 load_transpose2d(src, dtype=None)
0.3 log(x, dtype=None)
0.3 logical_and(x, y, dtype=None)
0.3 logical_not(x, dtype=None)
0.3 logical_or(x, y, dtype=None)
0.3 logical_xor(x, y, dtype=None)
0.3 matmul(x, y, transpose_x=False)
0.3 max(x, axis, dtype=None, keepdims=False)
0.3 maximum(x, y, dtype=None)
0.3 mean(x, axis, dtype=None, keepdims=False)
0.3 min(x, axis, dtype=None, keepdims=False)
0.3 minimum(x, y, dtype=None)
0.3 mish(x, dtype=None)
0.3 mod(x, y, dtype=None)
0.3 multiply(x, y, dtype=None)
0.2 ndarray(shape, dtype, buffer=sbuf, name='', address=None)
0.3 negative(x, dtype=None)
0.3 no_reorder()
0.3 not_equal(x, y, dtype=None)
0.2 num_programs(axes=0)
0.3 ones(shape, dtype, buffer=sbuf, name='')
0.3 power(x, y, dtype=None)
0.3 prod(x, axis, dtype=None, keepdims=False)
0.2 program_id(axis=0)
0.2 program_ndim()
0.3 rand(shape, dtype, buffer=sbuf, name='')
0.3 random_seed(seed)
0.3 reciprocal(x, dtype=None)
0.3 relu(x, dtype=None)
0.3 right_shift(x, y, dtype=None)
0.3 rms_norm(x, w, axis, n, epsilon=1e-06, dtype=None, compute_dtype=None)
0.3 rsqrt(x, dtype=None)
0.2 sequential_range(start, stop=None, step=1)
0.2 shared_constant(constant)
0.2 shared_identity_matrix(n, dtype=uint8, dst=None)
0.3 sigmoid(x, dtype=None)
0.3 sign(x, dtype=None)
0.3 silu(x, dtype=None)
0.3 silu_dx(x, dtype=None)
0.3 sin(x, dtype=None)
0.3 softmax(x, axis=-1, dtype=None)
0.3 softplus(x, dtype=None)
0.3 sqrt(x, dtype=None)
0.3 square(x, dtype=None)
0.2 static_range(start, stop=None, step=1)
0.3 store(dst, value)
0.3 subtract(x, y, dtype=None)
0.3 sum(x, axis, dtype=None, keepdims=False)
0.3 tan(x, dtype=None)
0.3 tanh(x, dtype=None)
0.3 transpose(x, dtype=None)
0.3 trunc(x, dtype=None)
0.3 var(x, axis, dtype=None, keepdims=False)
0.3 where(condition, x, y, dtype=None)
0.6 while_loop(init, body_fun)
0.2 zeros(shape, dtype, buffer=sbuf, name='')
0.3 zeros_like(x, dtype=None, buffer=None, name='')
"""

COLLECTIVES = """
0.2 all_gather(srcs, dsts, replica_group, collective_dim, priority=None, name=None)
0.6 all_gather_v(srcs, dsts, replica_group, metadata_tensor, recv_counts_known=False, has_rdispls=False,
        priority=None, name=None)
0.2 all_reduce(srcs, dsts, replica_group, op, priority=None, name=None)
0.2 all_to_all(srcs, dsts, replica_group, collective_dim, priority=None, name=None)
0.3 all_to_all_v(srcs, dsts, replica_group, metadata_tensor, recv_counts_known=False, has_rdispls=False,
        priority=None, name=None)
0.2 collective_permute(srcs, dsts, source_target_pairs, priority=None, name=None)
0.2 collective_permute_implicit(srcs_by_channel, dsts_by_channel, replica_group, channel_ids=[0], priority=None,
        name=None)
0.2 collective_permute_implicit_current_processing_rank_id(iteration_id, replica_group, channel_id=0, name=None)
0.2 collective_permute_implicit_reduce(srcs0_by_channel, srcs1_by_channel, dsts_by_channel, replica_group, op,
        channel_ids=[0], priority=None, name=None)
0.2 rank_id(name=None)
0.2 reduce_scatter(srcs, dsts, replica_group, collective_dim, op, priority=None, name=None)
"""

ISA_0_7 = """
0.7 scalar_load(src)
0.7 scalar_store(dst, value)
"""

LANGUAGE_0_7 = """
0.7 alloc_blocks(*, tile_shape, block_shape, element_shape, buffer, dtype, address=None, name='')
0.7 alloc_tiles(*, tile_shape, element_shape, buffer, dtype, address=None, name='')
0.7 blocks(source, *, tile_shape=None, block_shape)
0.3 empty_like(x, dtype=None, buffer=None, name='', *, transpose_axes=None, address=None)
0.7 tiles(source, *, tile_shape=None)
"""

COLLECTIVES_0_7 = """
0.7 all_gather_v_prepare(srcs, dsts, replica_group, metadata_tensor, recv_counts_known=False, has_rdispls=False,
        priority=None, name=None)
0.7 all_gather_v_trigger(...)
0.7 all_to_all_v_prepare(...)
0.7 all_to_all_v_trigger(...)
"""

TENSOR = """
0.5 __getitem__(key)
0.5 __setitem__(key, value)
0.5 ap(pattern, offset=None, scalar_offset=None, vector_offset=None, indirect_dim=0, dtype=None)
0.5 broadcast(dim, size)
0.5 expand_dim(dim)
0.5 flatten_dims(start_dim, end_dim)
0.5 get_pattern()
0.5 indirect(index, num_elem=None)
0.5 is_contiguous()
0.5 is_indirect()
0.5 permute(dims)
0.5 rearrange(src_pattern, dst_pattern, fixed_sizes=None)
0.5 reinterpret_cast(dtype)
0.5 reshape(shape)
0.5 reshape_dim(dim, shape)
0.5 select(dim, index)
0.5 slice(dim, start, end, step=1)
0.5 squeeze_dim(dim)
0.5 vector_select(dim, vector_offset)
0.5 view(dtype)
"""

# Names that are not functions, by first version.
VALUES = {
    "nki.language.NkiTensor": {"0.5": "buffer dtype name ndim offset shape size strides"},
    "nki.isa": {
        "0.2": "VirtualRegister engine reduce_cmd dge_mode oob_mode nc_version tensor_engine vector_engine "
        "scalar_engine gpsimd_engine unknown_engine",
        "0.3": "dma_engine matmul_perf_mode NkiInstruction NkiValidationError",
        "0.7": "NkiScalar",
    },
    "nki.language": {
        "0.2": "bool_ int8 int16 int32 uint8 uint16 uint32 float16 float32 bfloat16 tfloat32 float8_e4m3 float8_e5m2 "
        "float8_e5m2_x4 float8_e4m3fn_x4 float4_e2m1fn_x4 sbuf psum hbm private_hbm shared_hbm tile_size",
        "0.3": "DType MemoryRegion NKIObject NkiTensor float8_e4m3fn average",
        "0.4": "prelu bypass",
        "0.5": "float8_e8m0fnu",
        "0.7": "int64 NkiGrid NkiTileGrid NkiBlockGrid",
    },
    "nki.collectives": {"0.2": "ReplicaGroup"},
    "nki.compiler": {"0.7": "AddressRotation CompileConfig SpecializationConfig"},
    "nki.typing": {"0.3": "tensor"},
    "nki": {"0.2": "jit", "0.3": "simulate Kernel"},
}

# Parameters that a function got later than it came itself, by function. Those of NKI 0.3 and before are not listed.
LATER_PARAMETERS = {
    "nki.isa": {
        "dma_compute": {"oob_mode": "0.4"},
        "dma_copy": {"priority": "0.4"},
        "dma_transpose": {"priority": "0.4"},
        "tensor_scalar_reduce": {"reduce_cmd": "0.4", "reduce_init": "0.4", "reduce_res_negate": "0.6"},
    },
    "nki.language": {"empty_like": {"transpose_axes": "0.7", "address": "0.7"}},
}

# Names of NKI 0.1 (`neuronxcc.nki`) and of 0.2 and 0.3 that AWS has removed, and what to write instead.
_SLICE = "Slice the tensor, or use nl.ds or .ap([[stride, count], ...])."
_RUN = "Run it with nki.simulate; nkisim.Simulator().run(kernel, ...).profile predicts its time."
_PLACE = "Leave it out, or place tiles with address=(partition, byte) of nl.ndarray."
REMOVED = {
    "nki.isa": dict.fromkeys(
        ("tensor_copy_dynamic_src", "tensor_copy_dynamic_dst"),
        "Use nisa.tensor_copy of tile.select(dim, index), or of .ap(..., scalar_offset=index).",
    ),
    "nki.language": {
        "arange": _SLICE,
        "atomic_rmw": "Use nisa.dma_compute with a vector_offset.",
        "fp32": "Write the number: nl.fp32.min is -3.4028234663852886e38.",
        "loop_reduce": "Let nisa.nc_matmul accumulate, or add into a tile with nisa.tensor_tensor.",
        "mgrid": _SLICE,
        "spmd_dim": "Launch on cores with kernel[2].",
        "static_cast": "Use nl.copy(x, dtype=...), or nisa.tensor_copy: the dtype of dst decides.",
    },
    "nki": dict.fromkeys(("baremetal", "benchmark", "profile", "trace"), _RUN),
    "nki.compiler": dict.fromkeys(
        (
            "auto_alloc",
            "enable_stack_allocator",
            "force_auto_alloc",
            "psum",
            "sbuf",
            "skip_middle_end_transformations",
        ),
        _PLACE,
    ),
}
