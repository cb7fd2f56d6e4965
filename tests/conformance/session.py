"""pytest plugin: runs test modules of nki-library with nkisim in place of compiler and device.

Their conftest is not loaded; this gives the same fixtures and the same generation of cases. Set-up comes from the
environment variable CONFORMANCE, a JSON object written by `run.py`; results go line by line to a pipe.
"""

from __future__ import annotations

import json
import os
import random
import re
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _pytest.runner import runtestprotocol

from conformance import choice, faster, imports, isolation
from conformance.adapted import ADAPTATIONS
from conformance.kernel_run import TestManager, outcome_of

SETUP: dict[str, Any] = json.loads(os.environ["CONFORMANCE"])
_ERROR = pytest.StashKey[BaseException]()
_LATER = pytest.StashKey[bool]()  # the test skips itself on trn2
_MANAGER = pytest.StashKey[TestManager]()
_OPTIONS = {"platform_target": "trn2", "coverage": "singles", "output_directory": "out", "metric_output": None}


def pytest_addoption(parser: pytest.Parser) -> None:
    for name, value in _OPTIONS.items():
        parser.addoption("--" + name.replace("_", "-"), default=value)


def pytest_configure(config: pytest.Config) -> None:
    imports.prepare(Path(SETUP["checkout"]) if SETUP["source"] == "nkilib" else None)
    if not SETUP["full_size"] and SETUP["source"] == "nkilib":
        faster.install()
    _seed()


def _seed() -> None:
    random.seed(0)
    np.random.seed(0)


@pytest.fixture
def test_manager(request: pytest.FixtureRequest) -> TestManager:
    manager = TestManager(ADAPTATIONS[SETUP["adapt"]])
    request.node.stash[_MANAGER] = manager
    return manager


@pytest.fixture
def collector() -> Any:
    from test.utils.metrics_collector import NoopMetricsCollector

    return NoopMetricsCollector()


@pytest.fixture
def platform_target(request: pytest.FixtureRequest) -> Any:
    from test.utils.common_dataclasses import Platforms

    return Platforms(_target(request.node))


@pytest.fixture
def samples() -> Path:
    return Path(SETUP["checkout"])


def _target(item: pytest.Item) -> str:
    """What the family says, else trn2, unless the test is only for later targets."""
    if SETUP["target"]:
        return str(SETUP["target"])
    if item.stash.get(_LATER, False):
        return "trn3"
    mark = item.get_closest_marker("platforms")
    excluded = {str(target) for target in (mark.kwargs.get("exclude") or ())} if mark else set()
    return next((target for target in ("trn2", "trn3") if target not in excluded), "trn1")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "range_test_options" in metafunc.fixturenames:
        _ranged(metafunc)
    mark = metafunc.definition.get_closest_marker("coverage_parametrize")
    if mark is not None:
        _covering(metafunc, dict(mark.kwargs))


def _ranged(metafunc: pytest.Metafunc) -> None:
    from test.utils import ranged_test_harness as ranged

    limit = getattr(metafunc.function, ranged.RANGE_TEST_LIMIT_NUM_TESTS_ATTR_KEY, None)
    limits = {} if limit is None else {ranged.RANGE_TEST_LIMIT_NUM_TESTS_ATTR_KEY: limit}
    config = getattr(metafunc.function, ranged.RANGE_TEST_CONFIG_ATTR_KEY)
    ids, cases = ranged.RangeTestHarness(config, **limits).get_unique_test_cases()
    metafunc.parametrize("range_test_options", cases, ids=ids)


def _covering(metafunc: pytest.Metafunc, params: dict[str, Any]) -> None:
    from test.utils.coverage_parametrized_tests import extract_parametrize_args, generate_parametrized_test_case

    coverage = params.pop("coverage", None) or _OPTIONS["coverage"]
    accepts = params.pop("filter", None)
    limits = {
        name: params.pop(name)
        for name in (
            "enable_automatic_boundary_tests",
            "enable_invalid_combination_tests",
            "n_tests_per_boundary_value",
            "max_invalid_tests",
        )
        if name in params
    }
    cases = generate_parametrized_test_case(params=params, coverage=coverage, filter_func=accepts, **limits)
    names, values, ids = extract_parametrize_args(params, cases)
    metafunc.parametrize(names, values, ids=ids)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    if call.excinfo is not None and _ERROR not in item.stash:
        item.stash[_ERROR] = call.excinfo.value
    return (yield)


def pytest_runtestloop(session: pytest.Session) -> bool:
    pipe = os.fdopen(SETUP["pipe"], "w", buffering=1)
    for failure in _collection_failures(session):
        print(json.dumps(failure), file=pipe)
    belonging = choice.belonging(session.items, SETUP)
    chosen = choice.choose(belonging, SETUP["cases"])
    choice.unskip(chosen, SETUP["unskip"])
    print(json.dumps({"cases": len(belonging), "chosen": len(chosen)}), file=pipe)
    cases = [(choice.name_of(item), _as_case(item)) for item in chosen]
    limits = {name: SETUP[name] for name in ("seconds", "memory_gib", "parallel")}
    for result in isolation.run_all(cases, **limits):
        print(json.dumps(result), file=pipe)
    return True


_COLLECTION: list[dict[str, Any]] = []


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        last = str(report.longrepr).strip().splitlines()[-1]
        _COLLECTION.append({"name": report.nodeid, "status": "error", "code": "Import", "message": last})


def _collection_failures(session: pytest.Session) -> list[dict[str, Any]]:
    session.testsfailed = 0
    return _COLLECTION


def _as_case(item: pytest.Item) -> Callable[[], dict[str, Any]]:
    def case() -> dict[str, Any]:
        _seed()
        changed: dict[str, Any] = dict(choice.shrink(item, SETUP["largest"]))
        if SETUP["adapt"]:
            changed["arguments"] = SETUP["adapt"]
        reports = runtestprotocol(item, log=False, nextitem=None)
        if any(report.skipped for report in reports) and re.search("(?i)only.*trn3", str(item.stash.get(_ERROR, ""))):
            item.stash[_LATER] = True
            del item.stash[_ERROR]
            reports = runtestprotocol(item, log=False, nextitem=None)
        result: dict[str, Any] = {"target": _target(item), "changed": changed}
        if (manager := item.stash.get(_MANAGER, None)) is not None:
            result |= {"findings": manager.findings[:5], "differences": manager.differences}
            result["simulated_s"] = round(manager.wall_s, 2)
            if manager.older_language:
                result["language"] = "neuronxcc.nki"
            if manager.missing is not None:  # also where a negative test took it for the rejection it expects
                return result | _failure(manager.missing)
        if any(report.skipped for report in reports):
            return result | {"status": "skipped", "message": str(item.stash.get(_ERROR, ""))}
        if all(report.passed for report in reports):
            return result | {"status": "pass"}
        return result | _failure(item.stash[_ERROR])

    return case


def _failure(error: BaseException) -> dict[str, Any]:
    status, code, last = outcome_of(error)
    frames = traceback.extract_tb(last.__traceback__)
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.line}" for frame in frames]
    return {"status": status, "code": code, "message": str(last)[:600], "trace": places[-6:]}
