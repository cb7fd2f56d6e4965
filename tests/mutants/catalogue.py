"""Realistic mistakes in the kernels: each a piece of source and what a tired engineer might have written instead."""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """One mistake.

    Attributes:
        file: under nkimoe/.
        old, new: source text; `old` occurs exactly once, or the `occurrence`-th time is meant.
        mistake: what went wrong, in words.
    """

    file: str
    old: str
    new: str
    mistake: str
    occurrence: int = 1


_STAGES = "kernels/stages"
_WEIGHTS, _OUTPUT = f"{_STAGES}/dense/weights.py", f"{_STAGES}/update_output.py"
_ROUTING, _GATHER = f"{_STAGES}/load_routing.py", f"{_STAGES}/gather_tokens.py"
_TRANSPOSE, _ACTIVATION = f"{_STAGES}/transpose_tokens.py", f"{_STAGES}/gated_activation.py"
_SCALE, _UP, _DOWN = (
    f"{_STAGES}/scale_by_affinity.py",
    f"{_STAGES}/dense/project_gate_up.py",
    f"{_STAGES}/dense/project_down.py",
)
_STATIC, _LAYER = "kernels/schedules/static.py", "kernels/layer.py"

MUTANTS: tuple[Mutant, ...] = (
    # routing tables
    Mutant(
        _ROUTING,
        "[[1, 128], [step * p.B, n], [128, tiles]]",
        "[[1, 128], [p.B, n], [128, tiles]]",
        "token ids of neighbouring blocks instead of this core's",
    ),
    Mutant(_ROUTING, "offset=at * p.B", "offset=at", "block offset not scaled by the block size"),
    Mutant(
        _ROUTING,
        "[step * p.B, n], [128, tiles]]",
        "[step * p.B, n], [0, tiles]]",
        "all tiles the first",
    ),
    Mutant(
        _ROUTING,
        "pattern=[[1, 1], [blocks.step, n]], offset=first",
        "pattern=[[1, 1], [1, n]], offset=first",
        "experts of neighbouring blocks",
    ),
    Mutant(
        _ROUTING,
        "pattern=[[0, 128], [step, n]], offset=at",
        "pattern=[[0, 128], [step, n]]",
        "affinity experts always from block 0",
    ),
    Mutant(_ROUTING, "nisa.memset(dst=factor, value=E)", "nisa.memset(dst=factor, value=E - 1)", "E off by one"),
    Mutant(_ROUTING, "data2=per_tile, op=nl.add", "data2=per_tile, op=nl.subtract", "expert subtracted"),
    Mutant(
        _ROUTING,
        "pattern=[[n, 128], [1, n], [0, tiles]]",
        "pattern=[[n, 128], [0, tiles], [1, n]]",
        "tiles and blocks swapped in a broadcast",
    ),
    Mutant(
        _ROUTING,
        "(block - window.first) * self._problem.tiles_per_block + first_tile",
        "(block - window.first) * self._problem.tiles_per_block",
        "always the first tile of a block",
    ),
    Mutant(
        _ROUTING,
        "(block - window.first) * self._problem.tiles_per_block + first_tile",
        "(block - window.first) + first_tile",
        "block index not scaled by tiles",
    ),
    Mutant(
        _ROUTING,
        "nisa.oob_mode.skip if request.skip_dma.skip_token else nisa.oob_mode.error",
        "nisa.oob_mode.error",
        "pad ids are an error",
    ),
    Mutant(
        _ROUTING,
        "self._window.first != first",
        "False",
        "the first window of routing tables serves all blocks",
    ),
    # gathers
    Mutant(_GATHER, "if clear:", "if False:", "gather tiles never cleared"),
    Mutant(_GATHER, "self._next += 1", "self._next += 2", "every other buffer of the ring"),
    Mutant(_GATHER, "self._tiles[self._next % len(self._tiles)]", "self._tiles[0]", "one buffer for all: stale rows"),
    Mutant(_GATHER, "[[H, 128], [1, H]]", "[[H, 128], [1, H - 1]]", "last column not gathered"),
    Mutant(_GATHER, "[[1, 128], [1, 1]]", "[[1, 127], [1, 1]]", "last affinity of a tile not gathered"),
    Mutant(_GATHER, "vector_offset=index, indirect_dim=0", "vector_offset=None", "static rows instead of a gather"),
    # transposes
    Mutant(
        _TRANSPOSE,
        "tile // group * PARTITIONS * group + tile % group",
        "tile * PARTITIONS",
        "rows of H not grouped like the weights",
    ),
    Mutant(_TRANSPOSE, "+ tile % group", "", "every tile of a group the same"),
    Mutant(_TRANSPOSE, "bank.start + k, tiling.row_group", "k, tiling.row_group", "every PSUM bank the first tiles"),
    Mutant(_TRANSPOSE, "turned[:, k, :], data=columns", "turned[:, 0, :], data=columns", "all transposes on one tile"),
    Mutant(
        _TRANSPOSE,
        "tokens[:, bank.slice, t * PARTITIONS : (t + 1) * PARTITIONS]",
        "tokens[:, bank.slice, 0:PARTITIONS]",
        "all token tiles on the first",
    ),
    Mutant(_TRANSPOSE, "buffer=nl.psum", "buffer=nl.sbuf", "PE result in SBUF"),
    # weights
    Mutant(_WEIGHTS, "[g * 2 * p.I, PARTITIONS]", "[2 * p.I, PARTITIONS]", "partition stride of an ungrouped layout"),
    Mutant(_WEIGHTS, "[2 * p.I, g]", "[p.I, g]", "gate and up rows interleaved"),
    Mutant(
        _WEIGHTS,
        "[p.I, 2],\n                [1, columns.size]",
        "[columns.size, 2],\n                [1, columns.size]",
        "up read at the piece's width",
    ),
    Mutant(
        _WEIGHTS,
        "offset=columns.start,\n            scalar_offset=expert",
        "offset=0,\n            scalar_offset=expert",
        "every streamed piece the first columns",
    ),
    Mutant(_WEIGHTS, "p.H // (PARTITIONS * g)]", "p.H // (PARTITIONS * g) - 1]", "last group of H not loaded"),
    Mutant(
        _WEIGHTS,
        "[PARTITIONS * p.H, count], [1, columns.size]]",
        "[p.H, count], [1, columns.size]]",
        "tiles of down overlap",
    ),
    Mutant(
        _WEIGHTS,
        "offset=first * PARTITIONS * p.H + columns.start",
        "offset=first * PARTITIONS * p.H",
        "every streamed piece of down the first columns",
    ),
    Mutant(
        _WEIGHTS,
        "offset=first * PARTITIONS * p.H + columns.start",
        "offset=columns.start",
        "the remainder rows of down from the top",
    ),
    Mutant(
        _WEIGHTS,
        "pattern=[[1, rows], [p.I, 2], [PARTITIONS, count]]",
        "pattern=[[1, rows], [p.I, 2], [1, count]]",
        "bias tiles overlap",
    ),
    Mutant(_WEIGHTS, "offset=first * PARTITIONS,", "offset=0,", "remainder of the bias from the top"),
    Mutant(
        _WEIGHTS,
        "pattern=[[H, 1], [1, H]], offset=0, scalar_offset=expert, indirect_dim=0",
        "pattern=[[H, 1], [1, H]]",
        "down bias always of expert 0",
    ),
    Mutant(
        _WEIGHTS,
        "((0, PARTITIONS, whole), (whole, rest, 1))",
        "((0, PARTITIONS, whole),)",
        "remainder rows of I never loaded",
    ),
    Mutant(
        _WEIGHTS,
        "data1=experts[:, 1:n], data2=experts[:, 0 : n - 1]",
        "data1=experts[:, 0 : n - 1], data2=experts[:, 0 : n - 1]",
        "every block counts as a repeat",
    ),
    Mutant(
        _WEIGHTS,
        "dst=to_load[:, 1:n], src=nothing",
        "dst=to_load[:, 0 : n - 1], src=nothing",
        "the block before a repeat is skipped",
    ),
    Mutant(
        _WEIGHTS,
        "nisa.memset(dst=nothing, value=E)",
        "nisa.memset(dst=nothing, value=E - 1)",
        "repeats load the last expert",
    ),
    Mutant(
        _WEIGHTS,
        "self._ahead[block] = self._load(block)",
        "self._ahead[block] = self._load(0)",
        "prefetch always the first block's expert",
    ),
    Mutant(
        _WEIGHTS,
        "nisa.oob_mode.skip if kind is ResidentWeights else nisa.oob_mode.error",
        "nisa.oob_mode.error",
        "skipped loads are an error",
    ),
    Mutant(
        _WEIGHTS,
        "return self.routing.experts[:, block : block + 1]",
        "return self.routing.experts[:, 0:1]",
        "always the first block's expert",
    ),
    # gate and up
    Mutant(_UP, "GATE, UP = 0, 1", "GATE, UP = 1, 0", "gate and up swapped"),
    Mutant(_UP, "accumulate=k > 0", "accumulate=False", "only the last tile of H counts"),
    Mutant(_UP, "accumulate=k > 0", "accumulate=True", "accumulates onto an unstarted bank"),
    Mutant(_UP, "moving=tokens[:, k, :]", "moving=tokens[:, 0, :]", "always the first tile of H"),
    Mutant(_UP, "range(tokens.shape[1])", "range(tokens.shape[1] - 1)", "last tile of H left out"),
    Mutant(
        _UP,
        "(columns.start + piece.start) // PARTITIONS",
        "piece.start // PARTITIONS",
        "streamed pieces land on the first tiles",
    ),
    Mutant(
        _UP,
        "_bias_step(weights.gate_up_bias, UP, at, piece)",
        "_bias_step(weights.gate_up_bias, GATE, at, piece)",
        "gate bias added to up",
    ),
    Mutant(_UP, "which, tile : tile + 1]", "which, 0:1]", "bias of the first tile everywhere"),
    # activation
    Mutant(
        _ACTIVATION,
        "(*p.gate_bias, *self.gate_limits)",
        "(*self.gate_limits, *p.gate_bias)",
        "gate clamped before its bias",
    ),
    Mutant(
        _ACTIVATION, "(*p.up_bias, *self.up_limits)", "(*p.up_bias, *p.up_bias, *self.up_limits)", "up bias added twice"
    ),
    Mutant(_ACTIVATION, "((nl.maximum, float(lower)),)", "((nl.minimum, float(lower)),)", "lower limit from above"),
    Mutant(_ACTIVATION, "() if lower is None", "() if not lower", "a limit of 0.0 is no limit"),
    Mutant(_ACTIVATION, "() if upper is None", "() if not upper", "an upper limit of 0.0 is no limit"),
    Mutant(
        _ACTIVATION, "ActFnType.Swish: (nl.gelu_apprx_sigmoid,)", "ActFnType.Swish: (nl.silu,)", "Swish without 1.702"
    ),
    Mutant(_ACTIVATION, "(nl.relu, nl.square)", "(nl.relu,)", "SquaredReLU not squared"),
    Mutant(_ACTIVATION, "ActFnType.GELU: (nl.gelu,)", "ActFnType.GELU: (nl.silu,)", "GELU taken for SiLU"),
    Mutant(_ACTIVATION, "hidden[0 : p.rows, p.tile, :]", "hidden[0 : p.rows, 0, :]", "every tile of I on the first"),
    Mutant(_ACTIVATION, "data=gate, bias=bias", "data=gate", "gate bias forgotten on the Scalar Engine"),
    Mutant(
        _ACTIVATION,
        "data = _apply_steps(data, steps[:-1])",
        "data = _apply_steps(data, steps)",
        "the fused step applied twice",
    ),
    # down
    Mutant(_DOWN, "accumulate=i > 0", "accumulate=False", "only the last tile of I counts"),
    Mutant(
        _DOWN,
        "stationary=hidden[0 : row.size, i, tokens.slice]",
        "stationary=hidden[0 : row.size, 0, tokens.slice]",
        "always the first tile of I",
    ),
    Mutant(
        _DOWN,
        "moving=down[0 : row.size, i, piece.slice]",
        "moving=down[0 : row.size, i, 0 : piece.size]",
        "always the first columns of H",
    ),
    Mutant(
        _DOWN,
        "Span(columns.start + piece.start, piece.size)",
        "Span(piece.start, piece.size)",
        "streamed pieces land on the first columns",
    ),
    Mutant(_DOWN, "    if bias is None:\n        return\n", "    return\n", "down bias dropped"),
    Mutant(
        _DOWN,
        "_add_bias(result, weights.down_bias, here)\n",
        "_add_bias(result, weights.down_bias, here)\n                _add_bias(result, weights.down_bias, here)\n",
        "down bias added twice",
    ),
    Mutant(_DOWN, "value=1.0", "value=0.5", "half the down bias"),
    # affinity
    Mutant(_SCALE, "return affinities\n", "return [1.0] * tiles\n", "POST_SCALE forgotten"),
    Mutant(_SCALE, "op0=nl.multiply, operand0=affinity", "op0=nl.add, operand0=affinity", "affinity added to the rows"),
    Mutant(
        _SCALE,
        "pattern=[[1, PARTITIONS], [0, PARTITIONS]]",
        "pattern=[[1, PARTITIONS], [1, PARTITIONS]]",
        "broadcast with a stride",
    ),
    Mutant(
        _SCALE,
        "across[:, t * PARTITIONS : (t + 1) * PARTITIONS]",
        "across[:, 0:PARTITIONS]",
        "all tiles' affinities on the first",
    ),
    Mutant(_SCALE, "PRE_SCALE_DELAYED: PreScaleDelayed", "PRE_SCALE_DELAYED: PostScale", "delayed scaling as post"),
    # output
    Mutant(
        _OUTPUT,
        "operand1=self._old[:, columns.slice]",
        "operand1=self._old[:, 0 : columns.size]",
        "old rows' first columns added everywhere",
    ),
    Mutant(
        _OUTPUT,
        "if columns.stop == self._output.slab.H:",
        "if columns.start == 0:",
        "rows written before they are full",
    ),
    Mutant(
        _OUTPUT,
        "reshape((self.rows, self._pitch))[0:limit, :]",
        "reshape((self.rows, self._pitch))",
        "pad rows are written",
    ),
    Mutant(
        _OUTPUT, "_clear(self.slab, _my_share(self.slab.rows))\n        if", "if", "output never cleared: unrouted rows"
    ),
    Mutant(_OUTPUT, "_clear(self.slab, spans(self.slab.rows, PARTITIONS))", "pass", "accumulation starts from garbage"),
    Mutant(
        _OUTPUT,
        "_clear(self.slab, spans(self.slab.rows, PARTITIONS))",
        "_clear(self.slab, spans(self.slab.rows, PARTITIONS)[:-1])",
        "the last rows are not cleared",
    ),
    Mutant(
        _OUTPUT,
        "            nisa.core_barrier(data=tensor, cores=(0, 1))\n",
        "            pass\n",
        "slabs added before both are ready",
    ),
    Mutant(
        _OUTPUT,
        "        if nl.num_programs(0) > 1:\n            nisa.core_barrier(data=self.tensor, cores=(0, 1))\n",
        "",
        "rows overwritten before the other core has cleared them",
    ),
    Mutant(
        _OUTPUT,
        "nisa.dma_copy(dst=other, src=second.part(span))",
        "nisa.dma_copy(dst=other, src=first.part(span))",
        "slab 0 added to itself",
    ),
    Mutant(
        _OUTPUT,
        "spans(rows, PARTITIONS)[nl.program_id(0) :: nl.num_programs(0)]",
        "spans(rows, PARTITIONS)[:: nl.num_programs(0)]",
        "both cores take the same half",
    ),
    Mutant(
        _OUTPUT,
        "spans(rows, PARTITIONS)[nl.program_id(0) :: nl.num_programs(0)]",
        "spans(rows, PARTITIONS)",
        "every row added by both cores",
    ),
    Mutant(_OUTPUT, "slabs[nl.program_id(0)], tokens", "slabs[0], tokens", "both cores accumulate in one slab"),
    Mutant(_OUTPUT, "self._offset + span.start * self._pitch", "span.start * self._pitch", "slab offset forgotten"),
    Mutant(
        _OUTPUT,
        "src=self._new, oob_mode=nisa.oob_mode.skip",
        "src=self._new, oob_mode=nisa.oob_mode.error",
        "pad slots are an error when written",
    ),
    # schedule and plan
    Mutant(_STATIC, "parts[i + 1 : i + 2]", "parts[i : i + 1]", "prefetch of the block being computed"),
    Mutant(
        _LAYER, "2 * t.token_tiles, (128, p.H)", "t.token_tiles, (128, p.H)", "one set of gather tiles for two parts"
    ),
    Mutant("plan.py", "len(range(core, n, cores))", "n // cores", "the last block of an odd count is lost"),
    Mutant(
        "plan.py",
        "BlockRange(first, 1, min(half, n - first))",
        "BlockRange(first, 1, half)",
        "HI_LO runs past the last block",
    ),
    Mutant(
        "tiling.py", "PSUM_COLUMNS // PARTITIONS)", "PSUM_COLUMNS // PARTITIONS * 2)", "1024 tokens in one PSUM bank"
    ),
    Mutant("tiling.py", "needed <= sbuf_capacity", "needed <= 4 * sbuf_capacity", "tiling ignores the size of SBUF"),
)
