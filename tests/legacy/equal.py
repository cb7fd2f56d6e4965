"""`python -m legacy.equal CHECKOUTS`: is `nkisim prove` right about kernels that are public in both dialects?

Each pair as it is published, then the current kernel with mistakes planted. Prints a table and a line of counts.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

import nkisim
from legacy import stand_ins
from legacy.mistakes import mistakes
from legacy.pairs import Found, found_in
from nkisim.prove import Proof, prove
from nkisim.prove.proof import Trial


def main() -> None:
    os.environ.setdefault("NEURON_PLATFORM_TARGET_OVERRIDE", "trn2")
    nkisim.install(legacy=True)
    stand_ins.install()
    warnings.simplefilter("ignore")
    counts = Counter[str]()
    for found in found_in(Path(sys.argv[1]).resolve()):
        counts.update(examine(found))
    print(
        f"{counts['equal']} of {counts['pairs']} pairs are equal, {counts['both']} of {counts['mistakes']} planted "
        f"mistakes found with the lines of both kernels"
    )


def examine(found: Found) -> Counter[str]:
    """Print the rows of a pair, and count them."""
    module, counts, started = found.new_module(), Counter[str](), time.perf_counter()
    proof = proof_of(found, getattr(module, found.pair.new))
    tried = Counter(trial.outcome for trial in proof.trials)
    outcome = "equal" if proof.is_equal else "differs"
    row(found.pair.name, "as published", outcome, f"{tried['equal']} of {len(proof.trials)} sets, "
        f"{tried['refused']} refused, {time.perf_counter() - started:.0f} s{parted(proof)}")  # fmt: skip
    counts.update(pairs=1, equal=int(proof.is_equal))
    if not proof.is_equal:
        return counts
    for mistake in mistakes(found.new_file, found.pair.new, module):
        proof = proof_of(found, mistake.kernel)
        trial = first_apart(proof)
        both = trial is not None and None not in (trial.old_line, trial.new_line)
        counts.update(mistakes=1, both=int(both))
        row("", f"{mistake.kind}, line {mistake.line}", trial.outcome if trial else "equal", parted(proof)[2:])
    return counts


def proof_of(found: Found, new: object) -> Proof:
    """What `nkisim prove` says of the old kernel and a new one."""
    return prove(found.old_kernel(), new, found.pair.arguments(np.random.default_rng(0)), "trn2")


def first_apart(proof: Proof) -> Trial | None:
    """The first set of arguments for which the kernels are not equal."""
    return next((trial for trial in proof.trials if trial.outcome in ("differs", "stops")), None)


def parted(proof: Proof) -> str:
    """Where the kernels part, if they do."""
    trial = first_apart(proof)
    if trial is None:
        return ""
    lines = [line.line if line else "-" for line in (trial.old_line, trial.new_line)]
    return f"; old line {lines[0]}, new line {lines[1]}: {trial.arguments}: {' '.join(trial.detail.split())[:100]}"


def row(kernel: str, what: str, outcome: str, detail: str) -> None:
    """Print a row."""
    print(f"{kernel:32s} {what:32s} {outcome:8s} {detail}", flush=True)


if __name__ == "__main__":
    main()
