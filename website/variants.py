"""A page for every implementation of `moe_cte`, from the tables that validation reads."""

from __future__ import annotations

from nkimoe.cli.experiment import Progress, Setup, run_experiment
from nkimoe.cli.layer_data import read_text
from nkimoe.models import Model
from nkimoe.planning.features import FEATURES
from nkimoe.planning.variants import BLOCKS, DENSE, DROPPING, HYBRID, INTERMEDIATE, MX, STATIC, VARIANTS, Variant
from nkimoe.routing.rule import RoutingRule
from website.markdown import code, escaped, table
from website.pictures import timeline

FOLDER = "variants"
IN_WORDS = {
    BLOCKS: "Each core takes half of the blocks, and all columns of their experts.",
    INTERMEDIATE: "Both cores work on every block, each with half of the columns of I, and exchange partial sums.",
    STATIC: "All blocks are unrolled.",
    HYBRID: "With `conditions` the first blocks are unrolled; a device loop runs those of the rest that hold tokens.",
    DROPPING: "One block for each expert, of any size: the capacity layout of training.",
    DENSE: "Weights are multiplied as bf16, fp16, fp8 or int8.",
    MX: "Weights are MXFP4 or MXFP8, activations are quantised to MXFP8 on chip.",
}
SILENT = Progress(start=lambda what, total: None, step=lambda: None)
SHOWN = Model(H=1024, I=512, E=8, routing=RoutingRule(top_k=2), source="of this page")
TOKENS = 512


def variant_pages() -> dict[str, str]:
    """The text of each page and picture by its name."""
    return {name: text for variant in VARIANTS.values() for name, text in _files(variant).items()}


def _files(variant: Variant) -> dict[str, str]:
    result = run_experiment(_setup(variant), SILENT)
    picture = f"pictures/{variant.name}.svg"
    words = " ".join(IN_WORDS[each] for each in (variant.split, variant.schedule, variant.numerics))
    refused = [
        (f.name, f"`{f.argument}`", escaped(f"{refusal.why}. {refusal.fix}"))
        for f in FEATURES
        if (refusal := f.refused.get(variant.implementation))
    ]
    page = "\n\n".join([
        f"# {variant.name}",
        f"{words} Runs on {' and '.join(variant.targets)}.",
        f"![Predicted timeline](../{picture})",
        f"A layer of H {SHOWN.H}, I {SHOWN.I}, {SHOWN.E} experts of which each of {result.setup.tokens} tokens takes "
        f"{SHOWN.K}, in blocks of {result.setup.block_size}: predicted, not measured. Its plan, as "
        f"`nkimoe explain` prints it:",
        code(result.plan.explain(), "text"),
        "## What it refuses",
        "Everything else of the [matrix](../variants.md) it honours.",
        table(["Feature", "Argument", "Why, and what would work"], refused),
    ])  # fmt: skip
    return {f"{FOLDER}/{variant.name}.md": page, picture: timeline(result.run)}


def _setup(variant: Variant) -> Setup:
    weights = "mxfp8" if variant.is_mx else "bf16"
    block_size = TOKENS * SHOWN.K if variant.schedule == DROPPING else 128
    return Setup(
        model="the layer shown", sizes=SHOWN, tp=1, tokens=TOKENS, variant=variant.name, target=variant.targets[-1],
        lnc=2, block_size=block_size, weights=weights, text=read_text(None), numerics=False,
    )  # fmt: skip
