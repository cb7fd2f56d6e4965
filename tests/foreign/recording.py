"""A pytest plugin of the suites: `import nki` is the simulator, and every test leaves a line of JSON.

It runs inside the other package's own pytest, which `foreign.run` starts.
"""

from __future__ import annotations

import json
import os
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import nkisim
from nkisim.errors import SimulationError
from nkisim.execution import kernel

RECORD = "NKISIM_FOREIGN_RECORD"
_launches = 0


def _counted(load: Callable[..., Any]) -> Callable[..., Any]:
    """`load`, which every launch calls once, before the arguments and the kernel are looked at."""

    def call(*args: Any, **kwargs: Any) -> Any:
        global _launches
        _launches += 1
        return load(*args, **kwargs)

    return call


def pytest_configure() -> None:
    """Before the suite imports anything."""
    nkisim.install()
    setattr(kernel, "load_machine", _counted(kernel.load_machine))  # noqa: B010
    _stand_in_for_torch_xla()


def _stand_in_for_torch_xla() -> None:
    """The device that host code moves its tensors to: the processor."""
    import torch

    def device(*_: Any) -> torch.device:
        return torch.device("cpu")

    model = types.ModuleType("torch_xla.core.xla_model")
    core, package = types.ModuleType("torch_xla.core"), types.ModuleType("torch_xla")
    vars(model).update(xla_device=device, mark_step=lambda *_: None)
    vars(core).update(xla_model=model, __path__=[])
    vars(package).update(core=core, device=device, sync=lambda *_: None, __path__=[])
    sys.modules |= {module.__name__: module for module in (model, core, package)}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Keep what became of the test, when its body has run or could not."""
    report: Any = yield
    global _launches
    if call.when == "call" or (call.when == "setup" and not report.passed):
        refusal = refusal_of(call.excinfo.value) if call.excinfo else None
        line = {"test": item.nodeid, "outcome": outcome(report, refusal), "launches": _launches, "refusal": refusal}
        with open(os.environ[RECORD], "a", encoding="utf-8") as record:
            record.write(json.dumps(line) + "\n")
        _launches = 0
    return report


def outcome(report: Any, refusal: str | None) -> str:
    """pass, refused, fail, xfail or skipped."""
    if hasattr(report, "wasxfail"):
        return "xfail"
    if report.skipped:
        return "skipped"
    if report.passed:
        return "pass"
    return "refused" if refusal else "fail"


def refusal_of(error: BaseException | None) -> str | None:
    """Code and rule of the simulator's error among an error and its causes."""
    while error is not None:
        if isinstance(error, SimulationError):
            return f"{error.code}: {error.rule} ({os.path.basename(error.where.file)}:{error.where.line})"
        error = error.__cause__ or error.__context__
    return None
