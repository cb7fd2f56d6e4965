"""From a request to a plan: every decision the kernel takes before its first instruction, as one printable value."""

from __future__ import annotations

from dataclasses import dataclass

from nkimoe.errors import RequestError
from nkimoe.problem import Problem
from nkimoe.request import Request
from nkimoe.spec import BlockShardStrategy
from nkimoe.targets import Target
from nkimoe.tiling import Tiling, ceil_div, choose_tiling
from nkimoe.validate import COMPUTE_DTYPES, check_option_types, choose_variant, validate
from nkimoe.variants import Variant

PREFETCHED, LOADED, RESIDENT, STREAMED = "prefetched", "loaded", "resident", "streamed"
OVERWRITTEN, ACCUMULATED, SHARED, SLABS, SLABS_RETURNED = (
    "overwritten", "accumulated", "accumulated by both cores", "a slab a core, added at the end",
    "a slab a core, added at the end, all returned",
)  # fmt: skip


@dataclass(frozen=True)
class BlockRange:
    """The blocks of one core: first, first + step, ... (`count` of them)."""

    first: int
    step: int
    count: int

    @property
    def indices(self) -> slice:
        """The same blocks as a slice of an array of blocks."""
        return slice(self.first, self.first + self.step * self.count, self.step)

    def block(self, j: int) -> int:
        """Global number of the core's j-th block."""
        return self.first + j * self.step


def block_range(strategy: BlockShardStrategy, n: int, cores: int, core: int) -> BlockRange:
    """Which of `n` blocks a core takes."""
    if strategy is BlockShardStrategy.PING_PONG:
        return BlockRange(core, cores, len(range(core, n, cores)))
    half = ceil_div(n, cores)
    first = min(core * half, n)
    return BlockRange(first, 1, min(half, n - first))


@dataclass(frozen=True)
class Plan:
    """How a request will be carried out.

    Attributes:
        weights: "prefetched" (an expert's weights load while the previous block computes), "loaded" (when
            the block starts), "resident" (kept while consecutive blocks share an expert), or "streamed" (too large:
            loaded in pieces).
        strategy: which blocks a core takes.
        output: how rows are updated: overwritten (one writer each), accumulated by one core, by both in one slab, or
            in a slab a core.
    """

    variant: Variant
    problem: Problem
    target: Target
    tiling: Tiling
    weights: str
    strategy: BlockShardStrategy
    output: str

    def blocks_of(self, core: int) -> BlockRange:
        """The blocks `core` processes, in order."""
        return block_range(self.strategy, self.problem.N, self.problem.cores, core)

    def explain(self) -> str:
        """The chain request -> problem -> tiling -> plan, for people."""
        p, t = self.problem, self.tiling
        pieces = f"{t.gate_up_columns} of {p.I} gate/up columns, {t.down_columns} of {p.H} down columns on chip"
        shares = ", ".join(f"core {c}: {self.blocks_of(c).count}" for c in range(p.cores))
        return "\n".join(
            (
                f"request  {self.variant.name} on {self.target.name}, {p.cores} core(s)",
                f"         {self.variant.split} split, {self.variant.schedule} schedule, {self.variant.numerics}",
                f"problem  T={p.T} H={p.H} I={p.I} E={p.E} B={p.B} N={p.N} (rows {p.rows})",
                f"tiling   {t.token_tiles * 128} tokens at a time; {pieces}",
                f"         rows of H in groups of {t.row_group}; {t.transposes_per_bank} transposes a PSUM bank",
                f"         SBUF about {t.sbuf_bytes} of {self.target.sbuf_bytes} bytes a partition",
                f"plan     weights {self.weights}, blocks {self.strategy.name} ({shares})",
                f"         output {self.output}",
            )
        )


def make_plan(request: Request, cores: int, target: Target) -> Plan:
    """Validate `request` and decide how to run it.

    Raises:
        RequestError: the request cannot be honoured.
    """
    check_option_types(request)
    variant = choose_variant(request)
    problem = Problem.from_tensors(
        request.hidden_states,
        request.gate_up_proj_weight,
        request.down_proj_weight,
        request.token_position_to_id,
        request.block_size,
        request.skip_dma.skip_token,
        cores,
    )
    validate(request, problem, variant, target)
    itemsize = COMPUTE_DTYPES[str(request.compute_dtype)]
    keep = request.skip_dma.skip_weight
    tiling = choose_tiling(problem, itemsize, target.sbuf_bytes, weight_buffers=1 if keep else 2)
    return Plan(
        variant,
        problem,
        target,
        tiling,
        _weights(problem, tiling, keep),
        request.block_options.block_sharding_strategy,
        _output(request, cores),
    )


def _output(request: Request, cores: int) -> str:
    if not request.is_tensor_update_accumulating:
        return OVERWRITTEN
    if request.block_options.per_core_output:
        return SLABS_RETURNED
    if cores == 1:
        return ACCUMULATED
    return SHARED if request.block_options.non_overlapping_shards else SLABS


def _weights(problem: Problem, tiling: Tiling, keep: bool) -> str:
    if tiling.weights_fit(problem):
        if keep:
            return RESIDENT
        return PREFETCHED if tiling.weight_buffers > 1 else LOADED
    if keep:
        raise RequestError(
            "skip_dma.skip_weight",
            "needs an expert's weights to fit in SBUF",
            f"I={problem.I}, H={problem.H}",
            "Pass skip_weight=False, or split I over more ranks.",
        )
    return STREAMED
