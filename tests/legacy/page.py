"""docs/simulator/legacy.md, from what became of each file."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

_HEAD = """# The older NKI

`nkisim.install(legacy=True)`, or `NKISIM_LEGACY=1`, makes `import neuronxcc.nki` mean NKI 0.1 as Neuron SDK 2.26
documented it: instructions that return tiles, index tensors and masks, `par_dim`, grids of several axes, item
assignment and operators on tiles, `simulate_kernel`, `baremetal`, `benchmark`, direct allocation. Without it that
name stands for the current NKI, as before. `import nki` is the current one in either case, so that both run in one
process.

* An instruction of the old dialect is an instruction of the current one with a destination of its own; the checks of
  the current one apply. Index tensors may leave a tensor only where a mask says so.
* What is assigned to the whole of a tile costs no copy, and `psum += nl.matmul(...)` adds where the product is
  written.
* Where a mask is no box, or an index no strided pattern, the values are right and their copying has no time. A
  benchmark then gives `predicted_us` as a lower bound and refuses percentiles. All latencies are predicted, never
  measured.
* Programs of a grid run one after the other on one core.
* Elements of a result outside its mask hold NaN, so that a use of them shows.
* `capacity` of SBUF and PSUM is not checked: the old compiler placed and spilled tiles itself. Direct allocation is
  placed where it says.

## Old and new

`nkisim migrate` says what to write instead, `nkisim prove` runs an old and a new kernel on the same arguments
([tutorial](../tutorials/08-from-the-older-nki.md)). `make legacy-pairs CHECKOUTS=folder` holds them against kernels
that are public in both dialects, as far as their files lie below the folder: tutorials of nki-samples and of the
documentation, harnesses of autocomp. It prints for each pair whether it is equal, for mistakes planted in the new
kernel what was found and which lines of both kernels were named, and how many constructs that the new kernel no longer
has got advice; last, how many files of the current NKI got any.

## Other people's kernels

`make legacy CHECKOUTS=folder` runs the kernels of every file below a folder that imports `neuronxcc` and has device
code (files with the same text once), each file in its own process on a simulated Trn2 core, packages around the
kernels replaced by stand-ins. A kernel matches where a test in its own file that launches it passes, or where its
result is within 0.2 % of the largest element of what NumPy gives for a kernel of that name and these parameters.
"""


def page(rows: list[dict[str, Any]], checkouts: Path) -> str:
    """The page.

    Args:
        rows: one a file: file, imports, why, kernels (outcome and why by "file:name").
    """
    kernels = {name: outcome for row in rows for name, outcome in row["kernels"].items()}
    counts = Counter(outcome for outcome, _ in kernels.values())
    imported = sum(row["imports"] for row in rows)
    text = [
        _HEAD,
        f"Of {len(rows)} files, **{imported} import**. Of {len(kernels)} kernels and tests that could be tried, "
        f"**{counts['match']} match**, {counts['differs']} differ and {counts['refused']} stop.\n",
        "| checkout | files | import | match | differ | stop |",
        "|---|---|---|---|---|---|",
        *_by_checkout(rows, checkouts),
        "\n## What stops or differs, and why\n",
        "| kernels | what was said |",
        "|---|---|",
        *_reasons(kernels),
        "\n## What does not import, and why\n",
        "| files | what was said |",
        "|---|---|",
        *_table(Counter(_short(row["why"]) for row in rows if not row["imports"])),
    ]
    return "\n".join(text) + "\n"


def _by_checkout(rows: list[dict[str, Any]], checkouts: Path) -> list[str]:
    by_name: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        name = Path(row["file"]).relative_to(checkouts).parts[0].replace("+", "/")
        by_name.setdefault(name, []).append(row)
    lines = []
    for name, own in sorted(by_name.items()):
        counts = Counter(outcome for row in own for outcome, _ in row["kernels"].values())
        numbers = (len(own), sum(row["imports"] for row in own), *(counts[k] for k in ("match", "differs", "refused")))
        lines.append(f"| {name} | " + " | ".join(str(number) for number in numbers) + " |")
    return lines


def _reasons(kernels: dict[str, Any]) -> list[str]:
    return _table(Counter(_short(why) for outcome, why in kernels.values() if outcome != "match"))


def _table(counts: Counter[str]) -> list[str]:
    return [f"| {number} | {why} |" for why, number in counts.most_common()]


def _short(why: str) -> str:
    """A message without places of this computer, and without what would break a table."""
    said = re.sub(r"\s*\(?/[\w./+@-]+\)?", "", why)
    return said.replace("|", "/").replace("<", "‹").replace(">", "›")[:110] or "no message"
