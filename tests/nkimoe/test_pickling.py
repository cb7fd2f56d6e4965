"""Errors, kernels, operations and options pass between processes, as pools of them need."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
from support.case import Case
from support.inputs import build_inputs

import nkimoe
from nkimoe import InputError, RequestError, moe_cte, ops
from nkimoe.errors import require
from nkimoe.ops.launch import OnCores

CASE = Case(T=150, H=128, I=48)
KERNELS = {name: getattr(ops, name) for name in ops.__all__} | {
    "moe_cte": moe_cte, "moe_cte_backward": nkimoe.moe_cte_backward,
}  # fmt: skip
COPIES = {"pickle": lambda value: pickle.loads(pickle.dumps(value)), "copy": copy.copy, "deepcopy": copy.deepcopy}


@pytest.fixture(autouse=True)
def _trn2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURON_PLATFORM_TARGET_OVERRIDE", "trn2")


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("kind", [RequestError, InputError])
@pytest.mark.parametrize("actual", [3, "text", (1, 2), np.dtype("int8"), pytest])
def test_an_error_is_copied_with_all_its_parts(copied: Any, kind: type[RequestError], actual: object) -> None:
    error = kind("spec", "is a rule", actual, "Do this.")
    again = copied(error)
    assert type(again) is kind
    assert str(again) == str(error)
    assert (again.argument, again.rule, again.actual, again.fix) == ("spec", "is a rule", str(actual), "Do this.")


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_is_pickled_by_name(copied: Any, name: str) -> None:
    assert copied(KERNELS[name]) is KERNELS[name]
    on_two = copied(KERNELS[name][2])
    assert type(on_two) is type(KERNELS[name])
    parts = ("_function", "__name__") if isinstance(on_two, OnCores) else ("function", "grid")
    assert all(getattr(on_two, part) == getattr(KERNELS[name][2], part) for part in parts)


def a_refused_request() -> None:
    require(False, "block_size", "is a positive int", "0", "Use 128.")


def test_a_refusal_comes_out_of_a_pool_of_processes() -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        with pytest.raises(RequestError, match="block_size: is a positive int"):
            pool.submit(a_refused_request).result(timeout=60)
        inputs = {**build_inputs(CASE), **CASE.options()}
        output = pool.submit(moe_cte[2], **inputs).result(timeout=60)
    np.testing.assert_array_equal(output.view(np.uint16), moe_cte[2](**inputs).view(np.uint16))
