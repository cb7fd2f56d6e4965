# SPDX-License-Identifier: Apache-2.0
"""A pytest plugin for kernels: a fixture that runs them, marks for targets, cores and DMA orders.

@pytest.mark.nki_target("trn2", "trn3")
@pytest.mark.nki_cores(1, 2)
def test_scale(nkisim_run, assert_kernel_close):
    assert_kernel_close(nkisim_run(scale_rows, x, factors), x * factors)
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Generator
from typing import Any

import pytest

from nkisim.install import install
from nkisim.machine import TARGETS
from nkisim.simulator import Run, Simulator
from nkisim.testing import assert_kernel_close as _assert_kernel_close

BOTH, EAGER, LATE = "both", "eager", "late"
MARKS = {
    "nki_target": ("(target, ...): run the test on each; by default as the environment says", tuple(TARGETS)),
    "nki_cores": ("(number, ...): run the test with each number of cores; by default the kernel's own grid", (1, 2)),
    "nki_dma": ("(order): 'both', the default, compares late transfers with eager ones", (BOTH, EAGER, LATE)),
}
_RUNS = pytest.StashKey[list[tuple[str, Run]]]()


def pytest_configure(config: pytest.Config) -> None:
    """Enter the marks; `import nki` gives the simulator where there is no other."""
    for name, (about, _) in MARKS.items():
        config.addinivalue_line("markers", name + about)
    if importlib.util.find_spec("nki") is None:
        install()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for each target and number of cores of its marks."""
    for name in ("nki_target", "nki_cores"):
        values = _values(metafunc.definition, name) if name in metafunc.fixturenames else ()
        if values:
            metafunc.parametrize(name, values, ids=[f"{name.removeprefix('nki_')}={value}" for value in values])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Behind a failure stand the runs of the test: their predictions are only made then."""
    report = yield
    if report.failed:
        report.sections += [(f"nkisim: {name}", run.report()) for name, run in item.stash.get(_RUNS, [])]
    return report


def _values(node: pytest.Item | pytest.Function, name: str) -> tuple[Any, ...]:
    """What the nearest mark of a test says.

    Raises:
        UsageError: something the mark does not take.
    """
    mark, known = node.get_closest_marker(name), MARKS[name][1]
    if mark is None:
        return ()
    if not mark.args or mark.kwargs or any(value not in known for value in mark.args):
        raise pytest.UsageError(f"{node.nodeid}: {name} takes {', '.join(map(repr, known))}, got {mark.args}")
    return mark.args


@pytest.fixture
def nki_target() -> str | None:
    """A target of the mark `nki_target`; None without it."""
    return None


@pytest.fixture
def nki_cores() -> int | None:
    """A number of cores of the mark `nki_cores`; None without it: the kernel's own grid."""
    return None


@pytest.fixture
def nkisim_run(request: pytest.FixtureRequest, nki_target: str | None, nki_cores: int | None) -> Callable[..., Run]:
    """Runs a kernel: `nkisim_run(kernel, *arguments, **named)` gives a `Run`.

    It runs with eager and with late transfers on copies of the arguments, and results must be the same bits: with
    `@pytest.mark.nki_dma("eager")` once, on the arguments themselves. What detectors find fails the test; with a
    failure each run of the test is reported, with its notes.
    """
    order = (_values(request.node, "nki_dma") or (BOTH,))[0]
    simulator = Simulator(nki_target, nki_cores, dma=LATE if order == LATE else EAGER)
    runs = request.node.stash.setdefault(_RUNS, [])

    def run(kernel: Any, *arguments: Any, **named: Any) -> Run:
        __tracebackhide__ = True
        simulate = simulator.compare_dma_orders if order == BOTH else simulator.run
        done = simulate(kernel, *arguments, **named)
        runs.append((getattr(kernel, "function", kernel).__name__, done))
        return done

    return run


@pytest.fixture
def assert_kernel_close() -> Callable[..., None]:
    """`nkisim.testing.assert_kernel_close`."""
    return _assert_kernel_close
