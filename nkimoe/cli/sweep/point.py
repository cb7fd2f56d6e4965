# SPDX-License-Identifier: Apache-2.0
"""One point of a sweep: a layer on one rank, what identifies it, and its prediction."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from nkimoe.cli.experiment import Progress, Setup, run_experiment, spec_of
from nkimoe.cli.layer_data import SEED
from nkimoe.cli.packed_data import kind
from nkimoe.planning.variants import BLOCKS, VARIANTS
from nkisim.machine import Machine, load_machine, machine_in_use

SILENT = Progress(lambda name, total: None, lambda: None)
WEIGHTS = ("weight", "scale", "bias")  # kinds of arguments that stay in HBM from call to call
ONE_AT_A_TIME = threading.Lock()  # a worker may have several threads; the simulator's cores are threads themselves


@dataclass(frozen=True)
class LayerPrediction:
    """What a rank needs for one layer. Times in microseconds, sizes in bytes; a ratio "over mean" is 1 if all is even.

    Attributes:
        latency_us, low_us, high_us: nominal, least and most.
        roofline_us: the least that the useful work of the rank can take.
        bound_by: what bounds the latency.
        tflops: useful 1e12 operations a second.
        hbm_read_bytes, hbm_written_bytes: in one call.
        weight_bytes: of this layer, on the rank.
        sbuf_peak_bytes: of a partition.
        rank_pairs: (token, expert) pairs of the rank.
        blocks, blocks_used: of the rank, and those that hold tokens.
        experts_used: of the rank.
        busiest_expert_over_mean, busiest_rank_over_mean: pairs, of all experts and of all groups of ranks.
    """

    latency_us: float
    low_us: float
    high_us: float
    roofline_us: float
    bound_by: str
    tflops: float
    hbm_read_bytes: int
    hbm_written_bytes: int
    weight_bytes: int
    sbuf_peak_bytes: int
    rank_pairs: int
    blocks: int
    blocks_used: int
    experts_used: int
    busiest_expert_over_mean: float
    busiest_rank_over_mean: float


@dataclass(frozen=True)
class Outcome:
    """A prediction, or why there is none."""

    prediction: LayerPrediction | None
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """For a store."""
        return {"prediction": asdict(self.prediction) if self.prediction else None, "reason": self.reason}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Outcome:
        prediction = kept["prediction"]
        return cls(LayerPrediction(**prediction) if prediction else None, kept["reason"])


def splits_blocks(setup: Setup) -> bool:
    """Whether cores take blocks apart, so that the strategy means something."""
    return VARIANTS[setup.implementation].split == BLOCKS


def request_of(setup: Setup) -> dict[str, Any]:
    """All that decides the prediction, in words and numbers: of two equal requests one is made."""
    layer = asdict(replace(setup.layer_model, source=""))
    return {
        **{name: str(value) for name, value in layer.items()},
        "tokens": setup.tokens, "tp": setup.tp, "ep": setup.ep, "variant": setup.variant, "target": setup.target,
        "lnc": setup.lnc, "block_size": setup.block_size, "weights": setup.weights, "slots": setup.slots,
        "dequantise": setup.dequantise,
        "spec": str(spec_of(setup)),
        "routing": _routing(setup),
        "seed": SEED,
        "machine": load_machine(setup.target).digest,
    }  # fmt: skip


def predict(machines: Mapping[str, Machine], setup: Setup) -> Outcome:
    """Simulate shapes and time. Whatever goes wrong is the reason why there is no prediction.

    Args:
        machines: of the sweep by target, whatever the worker has.
        setup: of the point.
    """
    try:
        with ONE_AT_A_TIME, machine_in_use(machines[setup.target]):
            return Outcome(_predicted(replace(setup, numerics=False)))
    except Exception as error:  # one point does not end a sweep
        return Outcome(None, f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else str(error))


def _predicted(setup: Setup) -> LayerPrediction:
    result = run_experiment(setup, SILENT, time_alone=True)
    profile, data = result.run.profile, result.data
    low, high = profile.interval_us
    weights = [t.nbytes for name, t in data.tensors.items() if "proj" in name and kind(name) in WEIGHTS]
    own = data.own_load
    return LayerPrediction(
        latency_us=profile.latency_us,
        low_us=low,
        high_us=high,
        roofline_us=result.roofline.latency_us,
        bound_by=profile.bound_by,
        tflops=result.predicted.tflops,
        hbm_read_bytes=profile.hbm_read,
        hbm_written_bytes=profile.hbm_written,
        weight_bytes=sum(weights),
        sbuf_peak_bytes=profile.sbuf_peak_bytes,
        rank_pairs=int(own.pairs.sum()),
        blocks=result.plan.problem.N,
        blocks_used=data.mapping.n_real_blocks,
        experts_used=own.used,
        busiest_expert_over_mean=data.load.busiest_over_mean,
        busiest_rank_over_mean=data.load.of_ranks(setup.ep).busiest_over_mean,
    )


def _routing(setup: Setup) -> str:
    if setup.routing is not None:
        return setup.routing.name
    return f"router on text {hashlib.sha256(setup.text.encode()).hexdigest()[:12]}"
