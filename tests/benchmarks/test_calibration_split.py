"""The half of the published latencies that constants may be fitted on, and the half that judges them."""

import hashlib

from calibrate.cases import MEASURED, Case, exactly
from calibrate.split import FIT, TEST, key, split_of


def case(kernel, value, unit):
    return Case(kernel, "family", "name", "source", (exactly("latency", value, unit),))


def test_a_key_is_the_kernel_and_its_latency_in_microseconds_with_three_decimals():
    assert key("attention_cte", 43) == "attention_cte 43.000"
    assert case("matmul", 39.89, "ms").key == "matmul 39890.000"
    assert case("copy", 427, "ns").key == "copy 0.427"


def test_a_row_is_fitted_on_where_the_first_byte_of_the_hash_of_its_key_is_even():
    for latency in range(100):
        text = key("mlp_tkg", latency)
        assert split_of(text) == (TEST if hashlib.sha256(text.encode()).digest()[0] % 2 else FIT)


def test_both_halves_are_as_they_were_fixed():
    assert [split_of(key("attention_cte", us)) for us in (43, 52, 55, 59, 69, 71)] == [FIT, FIT, TEST, FIT, TEST, TEST]


def test_a_number_that_stands_at_several_configurations_is_in_one_half():
    one = Case("qkv_tkg", "a", "first", "s", (exactly("latency", 72.19, "us"),))
    other = Case("qkv_tkg", "b", "second", "t", (exactly("latency", 72.19, "us"),))
    assert one.half == other.half


def test_the_first_figure_that_is_a_time_decides_for_all_figures_of_a_case():
    figures = (exactly("pe_active", 55.9, "%"), exactly("latency", 8602, "us"))
    assert Case("matmul", "f", "n", "s", figures).key == "matmul 8602.000"


def test_a_single_measurement_is_in_neither_half():
    assert case("", 427, "ns").half == MEASURED
