"""By which calls each instruction was reached."""

import numpy as np
import pytest

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim import Simulator
from nkisim.errors import BufferRuleError
from nkisim.observe import Recorder

HERE = "test_call_stack.py"


def tile(shape):
    """A tile that nothing has written."""
    return nl.ndarray(shape, nl.float32, buffer=nl.sbuf)


def positions(kernel, *arguments, cores=1):
    recorder = Recorder()
    Simulator("trn2", cores, observers=[recorder], report_only=True).run(kernel, *arguments)
    return [event.position for event in recorder.events]


def line(function, offset):
    return function.__code__.co_firstlineno + offset


def set_to(value):
    nisa.memset(tile((1, 1)), value)


def twice(value):
    set_to(value)
    set_to(value)


def calls_in_a_loop(x):
    for value in range(2):
        twice(value)
    return x


def one():
    return np.ones((1, 1), np.float32)


def test_an_instruction_knows_the_lines_that_led_to_it_from_the_kernel_on():
    first, second, *_ = positions(calls_in_a_loop, one())
    assert [place.line for place in first.chain] == [line(calls_in_a_loop, 2), line(twice, 1), line(set_to, 1)]
    assert [place.line for place in second.chain] == [line(calls_in_a_loop, 2), line(twice, 2), line(set_to, 1)]
    assert all(place.file.endswith(HERE) for place in first.chain)


def test_calls_from_one_place_are_counted():
    assert [position.calls for position in positions(calls_in_a_loop, one())] == [
        (0, 0, 0), (0, 0, 0), (0, 1, 0), (0, 1, 0),
    ]  # fmt: skip


def test_equal_chains_are_one_object():
    first, _, third, _ = positions(calls_in_a_loop, one())
    assert first.chain is third.chain
    assert first is not third


def test_each_iteration_of_a_device_loop_is_a_call_of_its_body():
    def kernel(x):
        nl.fori_loop(0, 3, lambda i: set_to(1.0))
        return x

    assert [position.calls[1] for position in positions(kernel, one())] == [0, 1, 2]
    assert {position.chain[0].line for position in positions(kernel, one())} == {line(kernel, 1)}


def test_a_generator_is_one_call_however_often_it_goes_on():
    def values():
        for value in range(3):
            set_to(value)
            yield value

    def kernel(x):
        for value in values():
            set_to(value)
        return x

    found = positions(kernel, one())
    assert [position.calls for position in found] == [(0, 0, 0), (0, 0), (0, 0, 1), (0, 1), (0, 0, 2), (0, 2)]
    assert all(position.chain[1].line == line(values, 2) for position in found[::2])


def test_a_generator_that_another_line_drives_is_called_from_there():
    def values():
        while True:
            set_to(1.0)
            yield

    def kernel(x):
        stream = values()
        next(stream)
        next(stream)
        return x

    assert [position.chain[0].line for position in positions(kernel, one())] == [line(kernel, 2), line(kernel, 3)]


def test_each_core_has_its_own_calls():
    def kernel(x):
        for _ in range(1 + nl.program_id(0)):
            set_to(1.0)
        return x

    assert sorted(position.calls for position in positions(kernel, one(), cores=2)) == [(0, 0), (0, 0), (0, 1)]


def test_who_launched_a_kernel_is_not_in_the_chain():
    def launches():
        return positions(lambda x: (set_to(1.0), x)[1], one())

    (position,) = launches()
    assert len(position.chain) == 2


def wrong(out):
    nisa.nc_matmul(dst=out, stationary=out, moving=out)


def calls_what_is_wrong(x):
    wrong(tile((2, 2)))
    return x


def test_an_error_names_the_line_and_who_called_it():
    with pytest.raises(BufferRuleError) as caught:
        Simulator("trn2").run(calls_what_is_wrong, one())
    error = caught.value
    assert error.where.line == line(wrong, 1)
    assert [place.line for place in error.callers] == [line(calls_what_is_wrong, 1)]
    assert f"({error.where}, called from {error.callers[0]})" in str(error)


def test_a_finding_names_who_called_its_line():
    def reads(out):
        nisa.tensor_copy(dst=tile((1, 1)), src=out)

    def kernel(x):
        reads(tile((1, 1)))
        return x

    (finding,) = Simulator("trn2", report_only=True).run(kernel, one()).findings
    assert f", called from {finding.error.callers[0]})" in str(finding)
    assert finding.error.callers[0].line == line(kernel, 1)


def test_of_many_callers_an_error_names_the_nearest():
    calls = [lambda: wrong(tile((2, 2)))]
    calls.append(lambda: calls[0]())
    calls.append(lambda: calls[1]())
    calls.append(lambda: calls[2]())
    calls.append(lambda: calls[3]())
    calls.append(lambda: calls[4]())

    def kernel(x):
        calls[5]()
        return x

    with pytest.raises(BufferRuleError) as caught:
        Simulator("trn2").run(kernel, one())
    assert len(caught.value.callers) == 7
    named = str(caught.value).partition("called from ")[2].partition(")")[0].split(", ")
    assert named == [*map(str, caught.value.callers[:4]), "3 more"]


def test_a_function_that_calls_itself_is_named_once():
    def again(times):
        return again(times - 1) if times else wrong(tile((2, 2)))

    def kernel(x):
        again(20)
        return x

    with pytest.raises(BufferRuleError) as caught:
        Simulator("trn2").run(kernel, one())
    assert str(caught.value).count(HERE) == 3


def test_an_error_outside_of_a_kernel_has_no_callers():
    with pytest.raises(Exception, match="kernel") as caught:
        set_to(1.0)
    assert caught.value.callers == ()
