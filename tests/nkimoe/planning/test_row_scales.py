"""Rows of scales are spread on chip where the Vector Engine has time for it."""

import pytest

from nkimoe.planning.row_scales import SPREAD_PARTS, is_spread, rows_read


@pytest.mark.parametrize(
    ("has_bias", "slots", "is_int8", "spread"),
    [
        (False, 64, False, True),
        (True, 128, False, True),
        (True, 129, False, False),
        (False, 320, False, True),
        (False, 64, True, False),
        (False, 65, True, True),
        (True, 320, True, False),
    ],
)
def test_a_row_is_spread_unless_biases_or_codes_keep_the_vector_engine_busy(has_bias, slots, is_int8, spread):
    assert is_spread(has_bias, slots, is_int8) is spread


def test_hbm_is_read_for_as_many_partitions_as_a_block_has_slots_or_a_part_each():
    assert rows_read(False, 64, True) == 64
    assert rows_read(True, 256, False) == 128
    assert rows_read(False, 256, True) == 128 // SPREAD_PARTS
