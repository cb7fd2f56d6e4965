"""The grammar of kernels: reproducible, caught by planted mistakes, shrunk to files that fail alone."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fuzz.kernels import arithmetic, blocks, moves
from fuzz.kernels.draft import Draft
from fuzz.kernels.meaning import DTYPES, Unfit, activated, product, summed, to
from fuzz.kernels.program import FILE, Program, drawn, failure, run, run_case, shrunk
from fuzz.kinds import generator
from nkisim.operations.operators import operator

ROOT = Path(__file__).resolve().parents[2]
STATEMENTS = tuple(dict.fromkeys((*moves.MOVES, *arithmetic.ARITHMETIC, *blocks.BLOCKS)))


@pytest.mark.parametrize("number", range(40))
def test_a_random_kernel_gives_what_it_means(number):
    run(drawn(generator(1, "kernels", number)).text())


@pytest.mark.parametrize("seed", range(4))
def test_what_the_cores_exchange_is_what_the_other_computed(seed):
    draft = Draft(np.random.default_rng(seed), "trn2", 2)
    for step in (moves.load, moves.exchange, moves.exchange):
        draft.add(step(draft))
    for tile in list(draft.tiles):
        draft.add(moves.store(draft, tile))
    for dma in ("eager", "late"):
        text = Program("trn2", 2, dma, tuple(draft.statements)).text()
        run(text)
        with pytest.raises(AssertionError, match="of core 0"):
            run(text.replace("= yield t", "= yield 1 + t"))


def test_the_same_seed_and_number_give_the_same_program():
    texts = [drawn(generator(5, "kernels", n)).text() for n in (3, 3, 4)]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: statement.__name__)
@pytest.mark.parametrize("target", ["trn2", "trn3"])
def test_every_statement_is_said_within_a_few_tries(statement, target):
    for seed in range(200):
        draft = Draft(np.random.default_rng(seed), target, 1 + seed % 2)
        for _ in range(4):
            draft.add(moves.load(draft))
        try:
            draft.add(statement(draft))
        except Unfit:
            continue
        return
    pytest.fail("never fits")


def first_that_fails():
    for number in range(300):
        program = drawn(generator(2, "kernels", number))
        if failure(program):
            return number, program
    return pytest.fail("no program notices")


@pytest.mark.parametrize("name", ["add", "maximum", "less", "logical_xor", "bitwise_and", "right_shift"])
def test_a_wrong_operator_is_noticed(monkeypatch, name):
    right = operator(name).function
    monkeypatch.setattr(operator(name), "function", lambda a, b: right(a, b) + (a == a.reshape(-1)[-1]).astype(a.dtype))
    first_that_fails()


def test_a_failing_program_is_kept_as_a_short_file_that_fails_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(operator("maximum"), "function", np.minimum)
    number, program = first_that_fails()
    fewer = shrunk(program)
    assert len(fewer.statements) < len(program.statements)
    with pytest.raises(AssertionError):
        run_case(generator(2, "kernels", number), tmp_path)
    assert (tmp_path / FILE).read_text() == fewer.text()
    path = os.pathsep.join(str(ROOT / part) for part in ("tests", "simulate"))
    alone = [sys.executable, str(tmp_path / FILE)]
    done = subprocess.run(alone, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr  # nothing is planted there
    output = next(statement.output[0] for statement in fewer.statements if statement.output)
    wrong = fewer.text().replace(f"{output!r}: {output}", f"{output!r}: {output} + 1")
    (tmp_path / FILE).write_text(wrong)
    done = subprocess.run(alone, env={**os.environ, "PYTHONPATH": path}, capture_output=True, check=False)
    assert b"AssertionError" in done.stderr


def test_shrinking_keeps_what_the_failure_needs():
    program = drawn(generator(2, "kernels", 1))
    assert failure(program) is None
    assert failure(replace(program, statements=program.statements[1:])) is not None


@pytest.mark.parametrize("values", [[1e8, 1, -1e8], [0.1, 0.2, 0.3], [2.0**24, 1, 1]])
def test_a_sum_that_depends_on_its_order_is_left_out(values):
    with pytest.raises(Unfit):
        summed(np.array([values]), 1)
    with pytest.raises(Unfit):
        product(np.array(values)[:, None], np.ones((3, 1)))


def test_a_sum_of_halves_is_what_it_is():
    values = np.array([[0.5, -3, 2.5, 1024]])
    assert summed(values, 1) == product(values.T, np.ones((4, 1))) == 1024


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [(300, "uint8", 255), (-1, "uint8", 0), (2.5, "int8", 2), (3.5, "int8", 4), (1e9, "float8_e4m3", 240),
     (1 + 2**-8, "bfloat16", 1), (1 + 3 * 2**-8, "bfloat16", 1 + 2**-6)],
)  # fmt: skip
def test_rounding_and_saturation(value, dtype, expected):
    found = to(np.float32(value), dtype)
    assert found.dtype == DTYPES[dtype]
    assert float(found) == expected


def test_functions_of_the_scalar_engine_are_those_of_fp64():
    assert activated("sqrt", [3.0]) == 2
    assert activated("sigmoid", [0.0]) == 0.5
