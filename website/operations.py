"""A page for every operation of `nkimoe.ops`: its docstring, its command, and a picture of a small run."""

from __future__ import annotations

import inspect
from dataclasses import fields, replace

from nkimoe import ops
from nkimoe.cli.op.experiment import OpSetup, run_operation
from nkimoe.cli.op.request import OpRequest
from nkimoe.cli.op.table import OPERATIONS
from website.markdown import code
from website.pictures import timeline

FOLDER = "ops"
SHOWN = OpSetup(target="trn2", lnc=2, seed=0, numerics=False)
AT_MOST = {"tokens": 256, "hidden": 1024, "intermediate": 512, "channels": 512, "experts": 16}
"""Sizes of the run that is drawn; smaller ones are the command's defaults."""


def operation_pages() -> dict[str, str]:
    """The text of each page and picture by its name."""
    return {name: text for operation in ops.__all__ for name, text in _files(operation).items()}


def _files(operation: str) -> dict[str, str]:
    picture, result = f"pictures/{operation}.svg", run_operation(_shown(operation), SHOWN)
    home = inspect.unwrap(getattr(ops, operation)).__module__
    page = "\n\n".join([
        f"# {operation}",
        "[All operations](../ops.md), what they have in common, and how they round.",
        f"::: {home}.{operation}\n    options:\n      show_root_toc_entry: false\n      show_root_heading: false",
        "## A small run",
        "What each engine does when, predicted and not measured, for",
        code(command_shown(operation), "sh"),
        f"![Predicted timeline](../{picture})",
    ])  # fmt: skip
    return {f"{FOLDER}/{operation}.md": page, picture: timeline(result.run)}


def _shown(operation: str) -> OpRequest:
    request = OPERATIONS[operation]()
    sizes = {name: getattr(request, name) for name in AT_MOST if hasattr(request, name)}
    return replace(request, **{name: min(size, AT_MOST[name]) for name, size in sizes.items()})


def command_shown(operation: str) -> str:
    """The call of `nkimoe op` that makes the run that is drawn."""
    request = _shown(operation)
    plain = type(request)()
    values = {each.name: getattr(request, each.name) for each in fields(request)}
    changed = {name: value for name, value in values.items() if value != getattr(plain, name)}
    options = "".join(f" --{name.replace('_', '-')} {value}" for name, value in changed.items())
    return f"nkimoe op {request.name}{options} --no-numerics"
