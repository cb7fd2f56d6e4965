# SPDX-License-Identifier: Apache-2.0
"""Simulated steps: what is asked of a worker, and what it answers."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import ml_dtypes
import numpy as np

from nkimoe.cli.experiment import PAIRS, Setup
from nkimoe.cli.model.library import Call, Checkout, library_call
from nkimoe.cli.sweep.point import ONE_AT_A_TIME, predict, request_of
from nkimoe.models import Model
from nkimoe.prefill.estimate import Estimate, Origin, total
from nkimoe.prefill.steps import Compute
from nkimoe.routing.on_device import build_block_mapping, pair_blocks, route, scatter_affinities
from nkisim import Predictor, Simulator
from nkisim.machine import Machine, load_machine, machine_in_use


@dataclass(frozen=True)
class Sample:
    """What a simulation says of one call.

    Attributes:
        estimate: its time, or None if the kernel takes no such call.
        bound_by: what bounds it.
        reason: why there is none.
    """

    estimate: Estimate | None
    bound_by: str = ""
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """For a store."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Sample:
        found = kept["estimate"]
        return cls(Estimate(**found) if found else None, kept["bound_by"], kept["reason"])


@dataclass(frozen=True)
class ExpertLayer:
    """A MoE layer of the rank: what `nkimoe sweep` predicts of the setup."""

    setup: Setup
    origin = Origin.NKIMOE

    def request(self) -> dict[str, Any]:
        """All that decides it."""
        return {"step": "experts", **request_of(self.setup)}

    def run(self, machines: Mapping[str, Machine]) -> Sample:
        outcome = predict(machines, self.setup)
        found = outcome.prediction
        if found is None:
            return Sample(None, reason=outcome.reason)
        return Sample(Estimate(found.latency_us, found.low_us, found.high_us), found.bound_by)


@dataclass(frozen=True)
class Tables:
    """Choosing experts, and the tables that `moe_cte` reads, by the kernels of `nkimoe.routing.on_device`.

    Attributes:
        slots: what the layer's slots hold, PAIRS or TOKENS.
        block_size: of the layer.
    """

    model: Model
    tokens: int
    slots: str
    block_size: int
    target: str
    lnc: int
    origin = Origin.NKIMOE

    def request(self) -> dict[str, Any]:
        """All that decides it."""
        rule = {name: str(value) for name, value in asdict(self.model.routing).items()}
        return {"step": "tables", "experts": self.model.E, "tokens": self.tokens, "slots": self.slots,
                "block size": self.block_size, "lnc": self.lnc, **rule,
                "machine": load_machine(self.target).digest}  # fmt: skip

    def run(self, machines: Mapping[str, Machine]) -> Sample:
        T, E, K = self.tokens, self.model.E, self.model.K
        ids = (np.arange(T * K) % E).astype(np.int32).reshape(T, K)
        weights = np.zeros((T, K), np.float32)
        sizes = {"n_experts": E, "block_size": self.block_size}
        router: Call = (route, {"logits": np.zeros((T, E), ml_dtypes.bfloat16), "rule": self.model.routing})
        tables: list[Call]
        if self.slots == PAIRS:
            tables = [(pair_blocks, {"topk_ids": ids, "topk_weights": weights, **sizes})]
        else:
            affinities = {"weights": weights, "expert_ids": ids, "n_experts": E}
            tables = [(build_block_mapping, {"expert_ids": ids, **sizes}), (scatter_affinities, affinities)]
        return simulated([router, *tables], self.target, self.lnc, machines, own=True)


@dataclass(frozen=True)
class LibraryKernel:
    """A step by a kernel of nki-library."""

    checkout: Checkout
    step: Compute
    target: str
    lnc: int
    origin = Origin.LIBRARY

    def request(self) -> dict[str, Any]:
        """All that decides it."""
        return {"step": self.step.kind, "tokens": self.step.tokens, **self.step.size, "lnc": self.lnc,
                "nki-library": self.checkout.digest, "machine": load_machine(self.target).digest}  # fmt: skip

    def run(self, machines: Mapping[str, Machine]) -> Sample:
        call = library_call(self.checkout.folder, self.step.kind, self.step.tokens, self.step.size)
        return simulated([call], self.target, self.lnc, machines)


Simulated = ExpertLayer | Tables | LibraryKernel


def sample(machines: Mapping[str, Machine], asked: Simulated) -> Sample:
    """Simulate shapes and time. Whatever goes wrong is the reason why there is no estimate."""
    try:
        return asked.run(machines)
    except Exception as error:  # arithmetic takes its place, and says why
        return Sample(None, reason=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")


def simulated(calls: list[Call], target: str, lnc: int, machines: Mapping[str, Machine], own: bool = False) -> Sample:
    """Launches one after the other. What kernels print is theirs; only nkimoe's own are known to be right."""
    times, bound = [], ""
    with ONE_AT_A_TIME, machine_in_use(machines[target]), contextlib.redirect_stdout(io.StringIO()):
        simulator = Predictor(target, lnc) if own else Simulator(target, lnc, numerics=False)
        for kernel, arguments in calls:
            profile = simulator.run(kernel, **arguments).profile
            low, high = profile.interval_us
            times.append(Estimate(profile.latency_us, low, high))
            if profile.latency_us >= max(each.us for each in times):
                bound = profile.bound_by
    return Sample(total(times), bound)
