"""One file of kernels, in a process of its own: does it import, which of its kernels run and match.

`python -m legacy.worker FILE` prints lines of JSON, each of which says more than the one before.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import re
import signal
import sys
import types
import unittest
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from support.modules import module_of

import nkisim
from legacy import stand_ins
from legacy.cases import against_case, reference_of
from legacy.references import REFERENCES
from nkisim.errors import SimulationError
from nkisim.legacy import kernel as kernels

_TOLERANCE = 2e-3  # of the largest element: sums of float32 in another order, and functions of the kernels' own making


def load(file: Path) -> types.ModuleType:
    """Import a file with the folders on the path that its own imports need."""
    root = file.parent
    while (root / "__init__.py").exists():
        root = root.parent
    folders = root, file.parent, file.parent.parent, root.parent / "src", root.parent.parent / "src"
    return module_of(file, re.sub(r"[-.]", "_", f"kernels_{file.stem}"), *folders)


def own_kernels(module: types.ModuleType, file: Path) -> dict[str, Any]:
    """The kernels that the file defines, by name; functions that nothing decorates yet among them."""
    found = {}
    for name, value in vars(module).items():
        body = value.body if isinstance(value, kernels.LegacyKernel) else value
        if isinstance(body, types.FunctionType) and Path(body.__code__.co_filename) == file:
            found[name] = value
    return found


@contextlib.contextmanager
def recorded() -> Iterator[set[tuple[str, str]]]:
    """File and name of every kernel that is launched meanwhile."""
    seen: set[tuple[str, str]] = set()
    whole = kernels.run

    def run(kernel: Any, *rest: Any) -> Any:
        result = whole(kernel, *rest)
        seen.add((kernel.body.__code__.co_filename, kernel.body.__name__))
        return result

    kernels.run = run
    try:
        yield seen
    finally:
        kernels.run = whole


def own_tests(module: types.ModuleType) -> Iterator[tuple[str, Callable[[], object]]]:
    """The tests in the file that need no fixtures: of unittest, and functions without parameters."""
    for name, value in [*vars(module).items()]:
        if isinstance(value, type) and issubclass(value, unittest.TestCase):
            for test in unittest.defaultTestLoader.getTestCaseNames(value):
                yield f"{name}.{test}", _case(value, test)
        elif name.startswith("test") and isinstance(value, types.FunctionType) and _is_own(value, module):
            yield name, value
    check = getattr(module, "test_nki", None)
    if callable(check) and hasattr(module, "ref") and len(inspect.signature(check).parameters) == 2:
        yield "test_nki", lambda: _true(check(module.ref, getattr(module, "test", module.ref)))


def _is_own(test: types.FunctionType, module: types.ModuleType) -> bool:
    return test.__module__ == module.__name__ and not inspect.signature(test).parameters


def _case(case: type[unittest.TestCase], test: str) -> Callable[[], object]:
    def run() -> None:
        instance = case(test)
        instance.setUp()
        getattr(instance, test)()

    return run


def _true(value: object) -> None:
    assert value is not False


def against_numpy(name: str, kernel: Any) -> tuple[str, str] | None:
    """What became of a kernel whose family is known: "match", "differs" or "refused", and why."""
    body = kernel.body if isinstance(kernel, kernels.LegacyKernel) else kernel
    parameters = [*inspect.signature(body).parameters]
    outcome = None
    for reference in REFERENCES:
        given = parameters[: len(reference.parameters)]
        output = parameters[len(given) :]
        if not reference.fits(name, given) or len(output) > 1:
            continue
        arguments = reference.inputs(np.random.default_rng(0))
        expected = np.asarray(reference.result(*arguments))
        found = tried(kernel, reference.grid, arguments, expected, bool(output))
        if found[0] == "match":
            return found
        outcome = found if outcome is None or outcome[0] == "refused" else outcome
    return outcome


def tried(kernel: Any, grid: tuple[int, ...], arguments: Any, expected: Any, has_output: bool) -> tuple[str, str]:
    """Run a kernel and compare."""
    launched = kernel if isinstance(kernel, kernels.LegacyKernel) else kernels.LegacyKernel(kernel)
    launched = launched[grid] if grid else launched
    out = np.zeros(expected.shape, np.float32)
    try:
        result = launched(*arguments, *([out] if has_output and _needs_output(launched) else []))
    except BaseException as error:  # whatever other people's code raises
        return "refused", reason(error)
    got = np.asarray(out if result is None else result[0] if isinstance(result, tuple) else result, np.float32)
    if got.size != expected.size:
        return "differs", f"shape {got.shape} for {expected.shape}"
    distance = float(np.max(np.abs(got.reshape(expected.shape) - expected)) / max(float(np.abs(expected).max()), 1e-30))
    return ("match", "NumPy") if distance < _TOLERANCE else ("differs", f"by {distance:.1e} of the largest element")


def _needs_output(kernel: kernels.LegacyKernel) -> bool:
    return [*inspect.signature(kernel.body).parameters.values()][-1].default is inspect.Parameter.empty


def reason(error: BaseException) -> str:
    """The rule of an error, or what it says, on a line."""
    if isinstance(error, SimulationError):
        return f"{error.code}: {error.rule}"
    return f"{type(error).__name__}: {error}".splitlines()[0][:140]


def examine(file: Path) -> Iterator[dict[str, Any]]:
    """What is known of a file, for the table: first whether it imports, then more with every kernel and test."""
    try:
        module = load(file)
    except BaseException as error:
        yield {"file": str(file), "imports": False, "why": reason(error), "kernels": {}}
        return
    outcomes: dict[str, tuple[str, str]] = {}
    row = {"file": str(file), "imports": True, "why": "", "kernels": outcomes}
    yield row
    for name, test in own_tests(module):
        with recorded() as seen:
            try:
                test()
                outcomes |= {f"{path}:{kernel}": ("match", f"its own {name}") for path, kernel in seen}
            except BaseException as error:
                outcomes.setdefault(f"{file}:{name}", ("refused", reason(error)))
        yield row
    reference = reference_of(file)
    if reference is not None and hasattr(module, "kernel"):
        try:
            outcomes[f"{file}:kernel"] = against_case(reference, module.kernel)
        except BaseException as error:
            outcomes[f"{file}:kernel"] = ("refused", reason(error))
        yield row
    for name, kernel in own_kernels(module, file).items():
        if outcomes.get(f"{file}:{name}", ("", ""))[0] != "match":
            found = against_numpy(name, kernel)
            if found is not None:
                outcomes[f"{file}:{name}"] = found
                yield row


def main() -> None:
    nkisim.install(legacy=True)
    stand_ins.install()
    warnings.simplefilter("ignore")
    file = Path(sys.argv[1]).resolve()
    signal.alarm(int(sys.argv[2]) if len(sys.argv) > 2 else 120)
    sys.argv = [str(file)]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for row in examine(file):
            print(json.dumps(row), file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    main()
