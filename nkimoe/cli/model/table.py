# SPDX-License-Identifier: Apache-2.0
"""Predictions as text: time to first token by tokens, and the steps and memory of the longest prefill."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nkimoe.cli.model.prediction import PrefillPrediction
from nkimoe.prefill.chips import GIB
from nkimoe.prefill.estimate import Estimate, Origin
from nkimoe.prefill.layout import PrefillLayout
from nkisim.report.pictures import duration
from nkisim.report.tables import aligned


def lines_of(name: str, found: Sequence[PrefillPrediction]) -> Iterator[str]:
    """All that a terminal shows."""
    last = found[-1]
    model, layout = last.prefill.model, last.prefill.layout
    yield (f"{name}: {model.layers} layers, {model.moe_layers} of them with experts, "
           f"{model.parameters / 1e9:.4g}e9 parameters, experts {last.prefill.weights}")  # fmt: skip
    yield describe(layout)
    yield ""
    yield from _first_tokens(found)
    yield ""
    yield f"Steps of {last.prefill.tokens:,} tokens, predicted; nothing overlaps:"
    yield from _steps(last)
    notes = dict.fromkeys(f"{step.name}: {step.note}" for step in last.steps if step.note)
    yield from (f"by arithmetic, as no kernel took it: {note}" for note in notes)
    yield ""
    yield from _memory(last)


def describe(layout: PrefillLayout) -> str:
    """Ranks and chips in a line."""
    ranks = layout.experts
    groups = "" if layout.groups == 1 else f", {layout.groups} groups with prompts of their own by {layout.exchange}"
    return (f"{layout.ranks} ranks (tp {ranks.tp} x ep {ranks.ep}{groups}) of {layout.lnc} {layout.target} cores on "
            f"{layout.chips} chip{'s' if layout.chips > 1 else ''}; heads shared by {layout.attention_tp}")  # fmt: skip


def _first_tokens(found: Sequence[PrefillPrediction]) -> Iterator[str]:
    head = ["tokens", "time to first token", "least to most", "tokens/s", "most of it", "bound by"]
    shares = [origin for origin in Origin if any(each.share(origin) for each in found)]
    rows = [[*head, *(origin.name.lower() for origin in shares)]]
    for each in found:
        first, longest = each.first_token, each.longest
        rows.append([
            f"{each.prefill.tokens:,}", duration(first.us), _interval(first),
            f"{each.prefill.tokens / first.us * 1e6:,.0f}", f"{longest.name} {longest.all.us / first.us:.0%}",
            longest.bound_by, *(f"{each.share(origin):.0%}" for origin in shares),
        ])  # fmt: skip
    words = {head.index("most of it"), head.index("bound by")}
    yield from aligned(rows, right=set(range(len(rows[0]))) - words)
    meanings = ", ".join(f"{origin.name.lower()}: {origin.value}" for origin in shares)
    yield f"Shares rest on {meanings}."


def _steps(found: PrefillPrediction) -> list[str]:
    rows = [["step", "calls", "one", "least to most", "all", "share", "bound by", "rests on"]]
    for step in found.steps:
        basis = step.origin.value + (", extended from fewer tokens" if step.is_extended else "")
        rows.append([
            step.name, f"{step.calls:,}", duration(step.each.us), _interval(step.each), duration(step.all.us),
            f"{step.all.us / found.first_token.us:.1%}", step.bound_by, basis,
        ])  # fmt: skip
    return aligned(rows, right=(1, 2, 3, 4, 5))


def _memory(found: PrefillPrediction) -> Iterator[str]:
    memory = found.memory
    parts = {"experts": memory.experts, "other weights": memory.others, "keys and values": memory.cache,
             "buffers": memory.buffers}  # fmt: skip
    listed = ", ".join(f"{name} {size / GIB:.3g}" for name, size in parts.items())
    verdict = "fits" if memory.fits else "DOES NOT FIT"
    yield (f"HBM of a rank, GiB: {listed}; {memory.needed / GIB:.3g} of {memory.capacity / GIB:.3g}, which the runtime "
           f"shares: {verdict}")  # fmt: skip


def _interval(estimate: Estimate) -> str:
    return f"{duration(estimate.low_us)} to {duration(estimate.high_us)}"
