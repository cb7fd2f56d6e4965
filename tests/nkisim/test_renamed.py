"""Functions and values that AWS calls otherwise now: a row of one table is all that a new name needs."""

import ast
import warnings

import numpy as np
import pytest
from support.device import tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim import compat, coverage
from nkisim.errors import ArgumentError
from nkisim.lint import names
from nkisim.lint.check import lint_source
from nkisim.nki._names import Published
from nkisim.renamed import RENAMED, in_newer_names


@pytest.fixture(autouse=True)
def _renamed(monkeypatch):
    """As if tensor_copy, fori_loop and float32 had other names before."""
    monkeypatch.setattr(compat, "_warned", set())
    monkeypatch.setitem(RENAMED, "nki.isa", {"old_copy": "tensor_copy"})
    monkeypatch.setitem(RENAMED, "nki.language", {"old_loop": "fori_loop", "old_float": "float32"})


def test_a_function_works_under_its_older_name_and_warns_when_it_is_called(trn2):
    copy = nisa.old_copy
    ones = np.ones((2, 3), np.float32)
    with pytest.warns(DeprecationWarning, match=r"nisa\.old_copy is deprecated NKI; use nisa\.tensor_copy"):
        result = trn2.compute(lambda dst, src: copy(dst=dst, src=src), (2, 3), "float32", ones)
    np.testing.assert_array_equal(result, ones)


def test_a_value_warns_when_it_is_asked_for():
    with pytest.warns(DeprecationWarning, match=r"use nl\.float32"):
        assert nl.old_float is nl.float32


def test_the_newer_name_says_nothing(trn2):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trn2.attempt(lambda: nisa.tensor_copy(dst=tile((2, 3)), src=tile((2, 3))))


def test_errors_written_with_the_older_name_advise_the_newer_one():
    error = ArgumentError("nisa.old_copy copies", "nisa.old_copy of mine", "Use nki.isa.old_copy, or nl.copy.")
    assert error.rule == "nisa.tensor_copy copies"
    assert error.actual == "nisa.old_copy of mine"  # which quotes the kernel
    assert error.fix == "Use nki.isa.tensor_copy, or nl.copy."
    assert error.fix in str(error)


@pytest.mark.parametrize("text", ["nl.old_copy", "nisa.old_copyist", "my_nisa.old_copy", "old_copy", ""])
def test_texts_that_name_something_else_stay(text):
    assert in_newer_names(text) == text


@pytest.mark.parametrize("loop", ["fori_loop", "old_loop"])
def test_lint_knows_both_names(loop):
    kernel = ast.parse(f"def kernel():\n    nl.{loop}(0, 4, lambda i: nisa.memset(tile[i], 0))")
    assert [ast.unparse(body.args) for _, body in names.loop_bodies(kernel)] == ["i"]


def test_lint_advises_the_newer_name(monkeypatch):
    monkeypatch.setitem(RENAMED, "nki.language", {"fori_loop": "loop_of_tomorrow"})
    source = "@nki.jit\ndef kernel(x):\n    for i in nl.dynamic_range(4):\n        pass\n"
    assert [problem.message for problem in lint_source(source)] == [
        "nl.dynamic_range was removed in NKI 0.7; use nl.loop_of_tomorrow"
    ]


def test_coverage_says_what_an_older_name_is_called_since():
    limit = coverage._limit(Published("nki.isa", "old_copy", "dst, src", "0.2"))
    assert limit == "called tensor_copy since; accepted with a warning"
