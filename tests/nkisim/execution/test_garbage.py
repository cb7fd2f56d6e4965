"""While kernels are traced, Python looks for garbage in circles more rarely; afterwards as before."""

import gc

import pytest

from nkisim.execution.garbage import RARELY, rarely_collected

SEEN = (321, 9, 8)


@pytest.fixture(autouse=True)
def thresholds():
    """Of this file alone."""
    before = gc.get_threshold()
    gc.set_threshold(*SEEN)
    yield
    gc.set_threshold(*before)


def test_the_search_is_rare_inside_and_as_before_behind():
    with rarely_collected():
        assert gc.get_threshold() == (RARELY, 9, 8)
    assert gc.get_threshold() == SEEN


def test_an_error_inside_leaves_the_search_as_it_was():
    with pytest.raises(ValueError, match="inside"), rarely_collected():
        raise ValueError("inside")
    assert gc.get_threshold() == SEEN


def test_of_two_launches_at_a_time_the_first_one_decides():
    first, second = rarely_collected(), rarely_collected()
    first.__enter__()
    second.__enter__()
    assert gc.get_threshold() == (RARELY, 9, 8)
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert gc.get_threshold() == SEEN


def test_launches_that_never_end_do_not_make_it_rarer_and_rarer():
    begun = [rarely_collected() for _ in range(100)]
    for each in begun:
        each.__enter__()
    assert gc.get_threshold() == (RARELY, 9, 8)


def test_where_it_is_off_it_stays_off():
    gc.set_threshold(0, 9, 8)
    with rarely_collected():
        assert gc.get_threshold()[0] == 0
