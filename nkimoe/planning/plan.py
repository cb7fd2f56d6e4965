# SPDX-License-Identifier: Apache-2.0
"""From a request to a plan: every decision the kernel takes before its first instruction, as one printable value."""

from __future__ import annotations

from dataclasses import dataclass

from nkimoe.errors import RequestError
from nkimoe.planning.mx.quantization import mx_down_of, mx_gate_up_of
from nkimoe.planning.mx.tiling import QUARTERS, MxDemand, choose_mx_tiling, inner_tiles
from nkimoe.planning.option_types import check_option_types
from nkimoe.planning.output_forms import (
    ACCUMULATED,
    ADDED,
    BY_CHOICE,
    HALVES,
    OVERWRITTEN,
    SHARED,
    SLABS,
    SLABS_RETURNED,
    OutputForm,
)
from nkimoe.planning.problem import WEIGHT_LAYOUTS, Problem
from nkimoe.planning.quantization import ROW, down_of, gate_up_of
from nkimoe.planning.request import COMPUTE_DTYPES, Request
from nkimoe.planning.shares import (
    BlockRange,
    Share,
    block_range,
    half_of_each_block,
    half_of_each_mx_block,
    whole_blocks,
    whole_mx_blocks,
)
from nkimoe.planning.targets import Target
from nkimoe.planning.tiling import (
    FEW_SLOTS,
    OLD_ROW_SETS,
    OUTPUT_BYTES,
    ROW_DESCRIPTOR,
    Demand,
    Tiling,
    ceil_div,
    choose_tiling,
)
from nkimoe.planning.validate import check_weight_form, choose_variant, validate
from nkimoe.planning.variants import BLOCKS, DROPPING, HYBRID, INT8, INTERMEDIATE, Variant
from nkimoe.spec import BlockShardStrategy, ExpertAffinityScaleMode

# From so many looped blocks on, so many go in an iteration: one drains all engines, some 15 us behind the blocks of
# Qwen3-30B TP 4, and the last one is partly in vain. Predicted there at 640 and 4096 tokens: 8 for 64 to 256 blocks 1
# to 4 % faster than 4, and 16 at 640 tokens 9 % slower; 4 for 16 to 63 blocks -2 to 4 % slower than 2, by layer.
LONG_LOOPS = (64, 8), (16, 2)
MOST_UNROLLED = 256  # blocks that pairs fill, unrolled: a loop of the others is not much slower, and compiles sooner
# Columns of I from which the PE takes about twice as long for a pair as GpSimd for its three rows. Predicted on Trn2 at
# 4,096 tokens, a slab a core against halves: I of 192 (Qwen3-30B TP 4) 2,672 and 3,080 us, 512 (OLMoE TP 2) 2,453 and
# 2,867, 896 (Mixtral TP 16) 1,770 and 1,607, 1440 (gpt-oss-120b EP 4 TP 2) 1,914 and 1,862.
LONG_PAIRS = 640
FP32 = 4  # bytes
# Tokens whose scales slots look up on chip. The table is loaded behind the quantisation of all: predicted 4 us, which
# fewer tokens do not save. Indices are of 16 bits; of a partition the most are 64 KiB.
LOOKED_UP = range(1024, 16384 + 1)
ROW_SCALE_BYTES = FP32 + 1  # of a column: on all partitions, and in parts
RESIDENT, STREAMED = "resident", "streamed"


@dataclass(frozen=True)
class Plan:
    """How a request will be carried out.

    Attributes:
        numerics: of the variant, or "int8" if activations become int8.
        weights: "resident" (an expert's weights stay while consecutive blocks share it) or "streamed" (too large:
            loaded in pieces). Either way a piece is replaced as soon as its last use is over, while the rest computes.
        strategy: which blocks a core takes, if blocks are what cores split.
        static_blocks: blocks, from the first, that run whatever `conditions` says.
        loop_blocks: blocks of a core in an iteration of the device loop behind them.
        keeps_gate_up, keeps_down: which activations are saved for the backward pass.
        output: how rows are updated.
    """

    variant: Variant
    problem: Problem
    target: Target
    tiling: Tiling
    numerics: str
    weights: str
    strategy: BlockShardStrategy
    static_blocks: int
    loop_blocks: int
    keeps_gate_up: bool
    keeps_down: bool
    output: OutputForm

    @property
    def is_int8(self) -> bool:
        """Whether activations become int8."""
        return self.numerics == INT8

    @property
    def halves_intermediate(self) -> bool:
        """Whether both cores work on every block, on half of I each."""
        return halves_intermediate(self.variant, self.problem.cores)

    def share_of(self, core: int) -> Share:
        """What `core` does."""
        return share_of(self.variant, self.problem, self.strategy, self.static_blocks, core)

    def unrolled_of(self, core: int) -> BlockRange:
        """The blocks `core` processes whatever `conditions` says."""
        if self.halves_intermediate:
            return BlockRange(0, 1, self.static_blocks)
        return block_range(self.strategy, self.static_blocks, self.problem.cores, core)

    def looped_of(self, core: int) -> BlockRange:
        """The blocks `core` processes in a device loop, as far as `conditions` goes.

        With HI_LO the second core begins behind what the first one takes of those that run.
        """
        cores = 1 if self.halves_intermediate else self.problem.cores
        step = cores if self.strategy is BlockShardStrategy.PING_PONG else 1
        first = self.static_blocks + (core % cores if step > 1 else 0)
        return BlockRange(first, step, (self.problem.N - self.static_blocks + cores - 1 - core % cores) // cores)

    def cleared_by(self, core: int) -> range:
        """The blocks of the loop whose checkpoints `core` zeroes first."""
        cores = 1 if self.halves_intermediate else self.problem.cores
        return range(self.static_blocks + core % cores, self.problem.N, cores)

    def blocks_processed(self, real: int) -> int:
        """Blocks that the cores process if `conditions` names the first `real`: each core loops equally often."""
        apart = 1 if self.halves_intermediate else self.problem.cores
        iterations = ceil_div(max(real - self.static_blocks, 0), apart * self.loop_blocks)
        return self.static_blocks + iterations * apart * self.loop_blocks

    def gathered_columns(self, core: int) -> int:
        """Columns of H that `core` gathers; of MX a share counts those of a quarter."""
        return self.share_of(core).gathered.size * (QUARTERS if self.variant.is_mx else 1)

    def blocks_of(self, core: int) -> BlockRange:
        """The blocks `core` processes, in order."""
        return self.share_of(core).blocks

    def _loops(self) -> str:
        dynamic = self.problem.N - self.static_blocks
        return f"{self.static_blocks} always and up to {dynamic} in a device loop" if dynamic else "all unrolled"

    def _kept(self) -> str:
        kept = [name for name, keeps in (("gate/up", self.keeps_gate_up), ("down", self.keeps_down)) if keeps]
        return f"; saves {' and '.join(kept)} activations" if kept else ""

    def explain(self) -> str:
        """The chain request -> problem -> tiling -> plan, for people."""
        p, t = self.problem, self.tiling
        own = self.share_of(0)
        pieces = (
            f"{t.gate_up_tiles} x {t.gate_up_columns} of {own.inner.size} gate/up columns by {t.gate_up_rows} rows, "
            f"{t.down_tiles} x {t.down_columns} of {p.H} down columns on chip"
        )
        shares = ", ".join(f"core {c}: {self.blocks_of(c).count}" for c in range(p.cores))
        split = "every block, half of I a core" if self.halves_intermediate else self.strategy.name
        return "\n".join(
            (
                f"request  {self.variant.name} on {self.target.name}, {p.cores} core(s)",
                f"         {self.variant.split} split, {self.variant.schedule} schedule, {self.numerics}",
                f"problem  T={p.T} H={p.H} I={p.I} E={p.E} B={p.B} N={p.N} (rows {p.rows})",
                f"tiling   {t.token_tiles * 128} tokens at a time; {pieces}",
                f"         rows of H in groups of {t.row_group}; {t.transposes_per_bank} transposes a PSUM bank",
                f"         SBUF about {t.sbuf_bytes} of {self.target.sbuf_bytes} bytes a partition",
                f"plan     weights {self.weights}, blocks {split} ({shares}), {self._loops()}",
                f"         output {self.output}{self._kept()}",
            )
        )


def make_plan(request: Request, cores: int, target: Target) -> Plan:
    """Validate `request` and decide how to run it.

    Raises:
        RequestError: the request cannot be honoured.
    """
    check_option_types(request)
    variant = choose_variant(request)
    check_weight_form(request, variant)
    problem = Problem.from_tensors(
        request.hidden_states,
        request.gate_up_proj_weight,
        request.down_proj_weight,
        request.token_position_to_id,
        request.block_size,
        request.skip_dma.skip_token,
        cores,
        WEIGHT_LAYOUTS[variant.numerics],
    )
    validate(request, problem, variant, target)
    strategy = BlockShardStrategy.PING_PONG
    if request.spec.shard_on_block is not None:
        strategy = request.spec.shard_on_block.block_sharding_strategy
    static_blocks = _static_blocks(request, problem, variant)
    share = share_of(variant, problem, strategy, static_blocks, 0)
    looped = problem.N - static_blocks
    tiling = _tiling(request, problem, variant, share, looped, target)
    keeps = request.keeps_activations or variant.schedule == DROPPING
    return Plan(
        variant, problem, target, tiling, numerics_of(request, variant), _weights(request, problem, tiling), strategy,
        static_blocks=static_blocks, loop_blocks=_loop_blocks(looped),
        keeps_gate_up=keeps,
        keeps_down=keeps and not request.affinity_multiplies_on_i,
        output=_output(request, problem, variant),
    )  # fmt: skip


def numerics_of(request: Request, variant: Variant) -> str:
    """How a variant multiplies for a request."""
    return INT8 if request.is_int8 else variant.numerics


def halves_intermediate(variant: Variant, cores: int) -> bool:
    """One core has nothing to split."""
    return cores > 1 and variant.split == INTERMEDIATE


def share_of(variant: Variant, problem: Problem, strategy: BlockShardStrategy, static_blocks: int, core: int) -> Share:
    """What `core` does."""
    if halves_intermediate(variant, problem.cores):
        return (half_of_each_mx_block if variant.is_mx else half_of_each_block)(problem, core)
    n = static_blocks if variant.split == BLOCKS else problem.N
    blocks = block_range(strategy, n, problem.cores, core)
    return (whole_mx_blocks if variant.is_mx else whole_blocks)(problem, blocks)


def _tiling(request: Request, problem: Problem, variant: Variant, share: Share, looped: int, target: Target) -> Tiling:
    if variant.is_mx:
        return choose_mx_tiling(problem, _mx_demand(request, variant, problem, share, looped), target.sbuf_bytes)
    return choose_tiling(problem, _demand(request, share), target.sbuf_bytes)


def _mx_demand(request: Request, variant: Variant, problem: Problem, share: Share, looped: int) -> MxDemand:
    inner = [share]
    if halves_intermediate(variant, problem.cores):
        inner = [half_of_each_mx_block(problem, core) for core in range(problem.cores)]
    gate_up, down = mx_gate_up_of(request), mx_down_of(request)
    has_row_scale = down.scale is not None and down.scale.layout == ROW
    tiles = [inner_tiles(problem.I, each.inner) for each in inner]
    return MxDemand(
        tiles=max(len(each) for each in tiles),
        columns=max(sum(QUARTERS * tile.width for tile in each) for each in tiles),
        gathered=share.gathered.size,
        written=share.written.size,
        peers=problem.H // share.written.size - 1,
        blocks=share.blocks.count,
        looped=_loop_blocks(looped) if looped else 0,
        item=COMPUTE_DTYPES[str(request.compute_dtype)],
        gate_up_bytes=gate_up.bytes_on_chip,
        down_bytes=down.bytes_on_chip,
        per_column=(0 if request.down_proj_bias is None else 2) + ROW_SCALE_BYTES * has_row_scale,
    )


def _demand(request: Request, share: Share) -> Demand:
    """What a core with this share has to hold."""
    item = COMPUTE_DTYPES[str(request.compute_dtype)]
    gate_up, down = gate_up_of(request), down_of(request)
    scales_rows = request.expert_affinities_scaling_mode is ExpertAffinityScaleMode.PRE_SCALE
    has_row_scale = down.scale is not None and down.scale.layout == ROW
    return Demand(
        inner=share.inner.size,
        gathered=share.gathered.size,
        written=share.written.size,
        peers=int(request.hidden_states.shape[1]) // share.written.size - 1,
        blocks=share.blocks.count,
        item=item,
        gate_up_item=gate_up.item_on_chip(item),
        down_item=down.item_on_chip(item),
        per_column=(0 if request.down_proj_bias is None else item) + ROW_SCALE_BYTES * has_row_scale,
        scaled_row=share.gathered.size * item if scales_rows or request.is_int8 else 0,
        gate_up_converted=item if gate_up.is_converted else 0,
        down_converted=item if down.is_converted else 0,
        gate_up_block=gate_up.block,
        down_block=down.block,
        coded=(FP32 if request.smooth else item) + 1 if request.is_int8 else 0,
        results=_result_bytes(request),
        smoothed=FP32 + 1 + item if request.smooth else 0,
        smooth=FP32 if request.smooth else 0,
        scale_table=_scale_table_bytes(request),
    )


def _scale_table_bytes(request: Request) -> int:
    """Of all tokens' scales, where they are quantised once."""
    tokens = int(request.hidden_states.shape[0])
    is_coded_once = request.is_int8 and request.smooth is None
    return FP32 * tokens if is_coded_once and request.block_size > FEW_SLOTS and tokens in LOOKED_UP else 0


def _result_bytes(request: Request) -> int:
    """Of a column of H that is written: fresh rows are on chip once, rows that are added to for two parts."""
    return 2 * OUTPUT_BYTES + FP32 if request.added is not None else OLD_ROW_SETS * OUTPUT_BYTES


def _static_blocks(request: Request, problem: Problem, variant: Variant) -> int:
    """All blocks but as many as there are experts, if others may be left out: at least those hold tokens.

    Where blocks are split: as the options say; else as many as the pairs fill at least.
    """
    if variant.schedule != HYBRID or request.conditions is None:
        return problem.N
    if variant.split == BLOCKS:
        options = request.block_options
        if options.n_static_blocks >= 0:
            return options.n_static_blocks
        if options.n_dynamic_blocks >= 0:
            return max(problem.N - options.n_dynamic_blocks, 0)
        return min(_least_pairs(request, problem) // problem.B, problem.N, MOST_UNROLLED)
    given = request.spec.shard_on_I.num_static_block if request.spec.shard_on_I else None
    return max(problem.N - problem.E, 0) if given is None else given


def _loop_blocks(looped: int) -> int:
    return next((blocks for least, blocks in LONG_LOOPS if looped >= least), 1)


def _least_pairs(request: Request, problem: Problem) -> int:
    """Pairs that surely have slots; an estimate from the options where slots do not say which pair they hold."""
    if request.pairs is not None:
        return 0 if request.pairs.has_gaps else problem.T * request.pairs.choices
    return problem.T * request.block_options.top_k // request.block_options.ep_degree


def _output(request: Request, problem: Problem, variant: Variant) -> OutputForm:
    if request.added is not None:
        return ADDED
    if not request.is_tensor_update_accumulating:
        return OVERWRITTEN
    if request.pairs is not None:
        return BY_CHOICE
    config = request.spec.shard_on_block
    if config is None:
        return ACCUMULATED
    if config.per_core_output:
        return SLABS_RETURNED
    if problem.cores == 1:
        return ACCUMULATED
    if config.non_overlapping_shards:
        return SHARED
    return HALVES if _swaps_halves(request, problem, variant) else SLABS


def _swaps_halves(request: Request, problem: Problem, variant: Variant) -> bool:
    """Whether a core had better add up half of the columns of all blocks than keep a slab of its own blocks.

    Halves spare five passes over all tokens, and make old rows of either core wait for each other on GpSimd: for layers
    that have fewer pairs than tokens, or whose pairs keep the PE busy. With MX weights the PE is so quick that halves
    must not take more descriptors, either.
    """
    config = request.block_options
    has_few_pairs = config.top_k < config.ep_degree
    if variant.is_mx:
        return has_few_pairs and problem.H * OUTPUT_BYTES % (problem.cores * ROW_DESCRIPTOR) == 0
    return has_few_pairs or problem.I >= LONG_PAIRS


def _weights(request: Request, problem: Problem, tiling: Tiling) -> str:
    if tiling.weights_fit:
        return RESIDENT
    if request.skip_dma.skip_weight:
        raise RequestError(
            "skip_dma.skip_weight",
            "needs an expert's weights to fit in SBUF",
            f"I={problem.I}, H={problem.H}",
            "Pass skip_weight=False, or split I over more ranks.",
        )
    return STREAMED
