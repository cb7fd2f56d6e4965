"""A page for every instruction of `nki.isa` that nkisim provides, and one that lists them."""

from __future__ import annotations

import inspect
import re

import nkisim.nki.isa as nisa
from nkisim.operations.instruction import INSTRUCTIONS, Declaration
from website.guards import Guard, guards_of
from website.markdown import call, code, escaped, table

FOLDER = "reference/isa"
_FENCED = re.compile(r"(```.*?^```$)", re.M | re.S)


def instruction_pages() -> dict[str, str]:
    """The text of each page by its name."""
    pages = {f"{FOLDER}/{name}.md": _page(name, INSTRUCTIONS[name]) for name in INSTRUCTIONS}
    return {f"{FOLDER}/index.md": _index(), **pages}


def _index() -> str:
    rows = [
        (f"[{name}]({name}.md)", escaped(_summary(name)), _engines(declared), declared.traits.cost.name)
        for name, declared in sorted(INSTRUCTIONS.items())
    ]
    return "\n\n".join([
        "# Instructions",
        "Every instruction of `nki.isa` that nkisim provides. A page has what `help` prints of the instruction, an "
        "example that runs inside a kernel, and the rules it is checked by. *Cost* is the class of work whose "
        "[predicted duration](../../simulator/time.md) is one formula on each engine. What refuses and why is in "
        "[coverage](../../simulator/coverage.md).",
        table(["Instruction", "Result", "Engines", "Cost"], rows),
    ])  # fmt: skip


def _page(name: str, declared: Declaration) -> str:
    parts = [f"# {name}", code(call(f"nisa.{name}", getattr(nisa, name))), _help(name)]
    if declared.refused:
        parts += [f'!!! warning "Not simulated"\n    {escaped(declared.refused)}']
    parts += [
        "## Guards",
        "Checked before anything happens; a broken rule raises the error of its code, with the line of the kernel. "
        "Words set as `code` within a rule are known when it is checked; *where* says of a rule when it is. Rules for "
        "all accesses, such as bounds, are in [limits](../../simulator/limits.md).",
        table(["Operands", "Rule", "Codes"], map(_row, guards_of(declared.issue))),
    ]
    return "\n\n".join(parts)


def _help(name: str) -> str:
    """What `help` prints, prose as prose and each declared fact on its own line."""
    text = inspect.getdoc(getattr(nisa, name)) or ""
    *described, declared = text.rpartition("\n\n")
    shown = [part if part.startswith("```") else escaped(part) for part in _FENCED.split("".join(described))]
    return "".join(shown) + "\n" + "\n".join(f"* {escaped(line)}" for line in declared.splitlines())


def _summary(name: str) -> str:
    return (inspect.getdoc(getattr(nisa, name)) or "").split("\n\n")[0].replace("\n", " ")


def _engines(declared: Declaration) -> str:
    return ", ".join(engine.name for engine in declared.engines)


def _row(guard: Guard) -> tuple[str, str, str]:
    return ", ".join(f"`{name}`" for name in guard.operands), escaped(guard.rule), " ".join(guard.codes)
