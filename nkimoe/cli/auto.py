# SPDX-License-Identifier: Apache-2.0
"""What `auto` chooses for a setup of the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nkimoe.choosing import Alternative, CostEstimate, ExpectedLoad, Fixed, Layer, LayerChoice, estimate, ranked
from nkimoe.choosing.tuned import TunedLayerKey, TunedLayers
from nkimoe.cli.experiment import Setup
from nkimoe.cli.packed_data import BF16
from nkimoe.cli.planning import plan_only
from nkimoe.planning.plan import Plan
from nkimoe.planning.row_scales import ROW_SCALED
from nkimoe.reference.roofline import WEIGHT_BYTES
from nkimoe.spec import BlockShardStrategy, MoECTEImplementation
from nkimoe.weights import MX_FORMATS
from nkisim.machine import load_machine

AUTO = "auto"


def fixed_by(options: Mapping[str, Any]) -> Fixed:
    """What the options variant, block_size and strategy say; auto, or none, says nothing."""
    given = {name: None if options[name] == AUTO else options[name] for name in ("variant", "block_size", "strategy")}
    return Fixed(
        given["variant"] and MoECTEImplementation[given["variant"]], given["block_size"],
        given["strategy"] and BlockShardStrategy[given["strategy"]],
    )  # fmt: skip


def alternatives(setup: Setup, fixed: Fixed) -> list[Alternative]:
    """Those of a setup, the best first."""

    def plan_of(choice: LayerChoice) -> Plan:
        return plan_only(with_choice(setup, choice))

    return ranked(_layer(setup), fixed, plan_of)


def chosen(setup: Setup, fixed: Fixed, tuned: TunedLayers | None = None) -> Setup:
    """The setup with what a tuned row says, or else with the best alternative; with the first one where none can be,
    so that its plan says what is wrong.
    """
    row = tuned.row(_key(setup), fixed) if tuned is not None else None
    return with_choice(setup, row or alternatives(setup, fixed)[0].choice)


def estimated(setup: Setup) -> CostEstimate:
    """What a setup is estimated to take as it is.

    Raises:
        RequestError: it has no plan.
    """
    return estimate(plan_only(setup), _layer(setup), load_machine(setup.target))


def with_choice(setup: Setup, choice: LayerChoice) -> Setup:
    """Called in that way."""
    strategy = choice.strategy or setup.strategy
    return replace(setup, variant=choice.variant, block_size=choice.block_size, strategy=strategy)


def _layer(setup: Setup) -> Layer:
    moved = BF16 if setup.dequantise else setup.weights
    is_mx, has_rows = setup.weights in MX_FORMATS, setup.weights in ROW_SCALED
    return Layer(_load(setup), WEIGHT_BYTES[moved], setup.layer_model.biases, is_mx, has_rows)


def _load(setup: Setup) -> ExpectedLoad:
    whole, own = setup.layer_model, setup.ranks.own_experts(setup.layer_model)
    return ExpectedLoad(setup.tokens, whole.K, own.E, whole.E)


def _key(setup: Setup) -> TunedLayerKey:
    model = setup.layer_model
    return TunedLayerKey(
        model.H, model.own_columns(setup.tp), _load(setup), setup.weights, setup.target, setup.lnc, setup.slots
    )
