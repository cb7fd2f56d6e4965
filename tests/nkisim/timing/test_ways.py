"""Schedules in plain Python and compiled: the same bits, the same words; and when which of them is used."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.programs import HandProgram, cost
from support.random_programs import programs
from support.timed_kernels import every_engine
from support.timeline import TRN2, traced
from support.ways import compiled, needs_numba

from nkisim.errors import SimulationError
from nkisim.timing.compiler_order import compiler_order
from nkisim.timing.flat import ways
from nkisim.timing.schedule import latency_ns, schedule

SHOWN = ("issue", "begin", "end", "done", "because", "reason", "order")


@pytest.fixture(scope="module")
def fast(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("compiled"))


def shown(timeline):
    return {name: getattr(timeline, name) for name in SHOWN}


def both(program, machine, fast):
    """The timelines in program order and in the compiler's, each computed in both ways."""
    orders = [compiler_order(program, machine, 8, way) for way in (ways.PLAIN, fast)]
    assert orders[0] == orders[1]
    for order in (None, orders[0]):
        yield tuple(shown(schedule(program, machine, order, way)) for way in (ways.PLAIN, fast))


@needs_numba
@settings(max_examples=150, deadline=None)
@given(made=programs(), machine=st.sampled_from([TRN2, TRN2.slowest(("dma", "hbm")), TRN2.fastest(("pe_time",))]))
def test_compiled_code_gives_the_same_bits_for_any_program(made, machine, fast):
    for plain, swift in both(made.program, machine, fast):
        assert plain == swift


@needs_numba
def test_compiled_code_gives_the_same_bits_for_a_kernel(fast):
    square = np.ones((128, 128), np.float32).astype("bfloat16")
    program = traced(every_engine, square, square)
    for plain, swift in both(program, TRN2, fast):
        assert plain == swift
        assert {type(number) for number in swift["issue"]} == {float}
        assert {type(number) for number in swift["because"]} == {int}


@needs_numba
@pytest.mark.parametrize("name", ["plain", "compiled"])
def test_a_latency_is_that_of_the_timeline(name, fast):
    made = HandProgram()
    first = made.add("vector", cost(10.0))
    made.add("scalar", cost(20.0, table="exp"), [first])
    way = ways.PLAIN if name == "plain" else fast
    assert latency_ns(made.program, TRN2, None, way) == schedule(made.program, TRN2, None, way).latency_ns > 30.0


@needs_numba
def test_compiled_code_tells_of_tasks_that_wait_for_each_other(fast):
    made = HandProgram()
    made.add("vector", cost(10.0), [1])
    made.add("vector", cost(10.0))
    said = []
    for way in (ways.PLAIN, fast):
        with pytest.raises(SimulationError, match="2 wait for each other") as error:
            schedule(made.program, TRN2, None, way)
        said.append(str(error.value))
    assert said[0] == said[1]


def test_little_is_scheduled_in_plain_python():
    assert all(ways._Choice().take(tasks) is ways.PLAIN for tasks in (0, 1, 1000))


@needs_numba
def test_much_is_scheduled_by_compiled_code_once_that_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    choice = ways._Choice()
    assert choice.take(ways._LOAD) is ways.PLAIN, "nothing is compiled yet"
    assert isinstance(choice.take(ways._COMPILE), ways.Compiled)
    assert isinstance(choice.take(1), ways.Compiled), "it is loaded"
    major, minor = sys.version_info[:2]
    (ways.cache_folder() / f"run.py{major}{minor}.nbi").touch()
    assert isinstance(ways._Choice().take(ways._LOAD), ways.Compiled)


@pytest.mark.parametrize("missing", ["numba", "folder"])
def test_without_numba_or_a_folder_to_keep_code_plain_python_does_it_all(missing, monkeypatch, tmp_path):
    if missing == "numba":
        monkeypatch.setattr(ways.importlib.util, "find_spec", lambda name: None)
    else:
        (tmp_path / "a file").touch()
        monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "a file"))
        assert ways.cache_folder() is None
    assert ways._Choice().take(10 * ways._COMPILE) is ways.PLAIN


def test_numba_is_not_imported_for_small_programs():
    code = (
        "import sys; from nkisim.machine import load_machine; from nkisim.timing import forecast\n"
        "from nkisim.timing.program import Program\n"
        "forecast(Program(), load_machine('trn2')); sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def _double(numbers):
    numbers[0] *= 2
    return numbers[0]


@needs_numba
def test_a_full_disk_costs_compiled_code_its_place_and_nothing_else(tmp_path, monkeypatch):
    from numba.core.caching import FunctionCache

    def no_space(self, signature, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FunctionCache, "save_overload", no_space)
    way = ways.Compiled(tmp_path)
    numbers = way.ints([3])
    assert way.function(_double)(numbers) == 6
    assert way.function(_double)(numbers) == 12
