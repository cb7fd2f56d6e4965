"""`python -m legacy.removed CHECKOUTS`: does `nkisim migrate` name what AWS removed, and nothing else?

For kernels that are public in both dialects, each construct that the old one has and the published new one has not must
have advice in its statement. Files of the current NKI must have none. Prints a table and a line of counts.
"""

from __future__ import annotations

import ast
import os
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import nkisim
from legacy import stand_ins
from legacy.constructs import Places, observed, written
from legacy.pairs import Found, found_in, is_older
from nkisim.migrate import advise

_CURRENT = re.compile(r"^\s*(?:import|from) nki\b(?s:.*)(?:nki\.jit|nisa\.|nl\.)", re.MULTILINE)


def main() -> None:
    os.environ.setdefault("NEURON_PLATFORM_TARGET_OVERRIDE", "trn2")
    nkisim.install(legacy=True)
    stand_ins.install()
    warnings.simplefilter("ignore")
    checkouts = Path(sys.argv[1]).resolve()
    named, wanted = Counter[str](), Counter[str]()
    for found in found_in(checkouts):
        with_advice, without = examine(found)
        named.update(with_advice)
        wanted.update(with_advice + without)
        both = with_advice + without
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(both.items()))
        print(f"{found.pair.name:32s} {with_advice.total()} of {both.total()} named: {kinds}", flush=True)
    files = [file for file in sorted(checkouts.rglob("*.py")) if is_current(file)]
    alarms = [file for file in files if advise(file.read_text("utf-8"), str(file))]
    print(*(f"advice for {file}, which imports the current nki" for file in alarms), sep="\n", end="\n" * bool(alarms))
    print(f"{named.total()} of {wanted.total()} removed constructs named, advice for {len(alarms)} of {len(files)} "
          f"files of the current NKI")  # fmt: skip


def examine(found: Found) -> tuple[Counter[str], Counter[str]]:
    """Statements of the old kernel by the removed construct in them, those with advice and those without."""
    source = found.old_file.read_text("utf-8")
    function = function_of(source, found.pair.old)
    with observed(str(found.old_file)) as seen:
        found.old_kernel()(**found.pair.arguments(np.random.default_rng(0)))
    last = function.end_lineno or function.lineno
    inside = {(line, construct) for line, construct in seen if function.lineno <= line <= last}
    there = {kind for _, (kind, _) in written(function_of(found.new_file.read_text("utf-8"), found.pair.new))}
    spans = [*statements(function)]
    removed = {place for place in located(written(function) | inside, spans) if place[1] not in there}
    advice = {(each.line, (each.construct, "")) for each in advise(source, str(found.old_file), found.pair.old)}
    named = located(advice, spans)
    return Counter(kind for _, kind in removed & named), Counter(kind for _, kind in removed - named)


def function_of(source: str, name: str) -> ast.FunctionDef:
    """The function of a name."""
    return next(n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef) and n.name == name)


def statements(function: ast.FunctionDef) -> Iterator[tuple[int, int, bool]]:
    """First and last line of each statement, of compound ones of their head, and whether it is an in-place operator."""
    for node in ast.walk(function):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            last = body[0].lineno - 1 if isinstance(body, list) else node.end_lineno or node.lineno
            yield node.lineno, max(last, node.lineno), isinstance(node, ast.AugAssign)


def located(places: Places, spans: list[tuple[int, int, bool]]) -> set[tuple[int, str]]:
    """Constructs by the first line of their statement; assignment by an in-place operator is that operator.

    Places outside of all statements are left out.
    """
    found = set()
    for line, (kind, _) in places:
        around = [span for span in spans if span[0] <= line <= span[1]]
        if around:
            first, _, in_place = max(around)
            found.add((first, "in-place operator" if in_place and kind == "item assignment" else kind))
    return found


def is_current(file: Path) -> bool:
    """Whether a file is Python with device code for the current NKI."""
    text = file.read_text("utf-8", errors="replace")
    if not _CURRENT.search(text) or is_older(file):
        return False
    try:
        return bool(ast.parse(text).body)
    except SyntaxError:
        return False


if __name__ == "__main__":
    main()
