"""Arguments of a kernel from a command line."""

import click
import ml_dtypes
import numpy as np
import pytest

from nkisim.command_inputs import arguments, require_all, tensor


def drawn(spec, seed=0):
    return tensor(spec, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("spec", "shape", "dtype"),
    [
        ("128x512", (128, 512), ml_dtypes.bfloat16),
        ("7", (7,), ml_dtypes.bfloat16),
        ("2x3x4:float32", (2, 3, 4), np.float32),
        ("2x3:int32", (2, 3), np.int32),
        ("2x3:float8_e4m3fn:zeros", (2, 3), ml_dtypes.float8_e4m3fn),
    ],
)
def test_a_shape_and_a_type_make_a_tensor(spec, shape, dtype):
    array = drawn(spec)
    assert (array.shape, array.dtype) == (shape, np.dtype(dtype))


def test_floats_are_normal_and_integers_zero_unless_said_otherwise():
    normal = drawn("10000:float32")
    assert abs(normal.mean()) < 0.05
    assert abs(normal.std() - 1) < 0.05
    assert not drawn("100:int32").any()


@pytest.mark.parametrize(
    ("spec", "low", "high"),
    [("1000:int32:3..5", 3, 5), ("1000:int32:-2..-1", -2, -1), ("1000:float32:-1.5..2", -1.5, 2)],
)
def test_a_range_is_kept_and_used_up_to_both_ends(spec, low, high):
    values = drawn(spec).astype(float)
    assert low <= values.min() < low + 0.1
    assert high - 0.1 < values.max() <= high


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float8_e4m3"])
def test_edges_are_normal_but_for_a_row_of_zeros_a_tiny_and_a_large_one(dtype):
    rows = drawn(f"8x512:{dtype}:edges").astype(np.float32)
    assert not rows[0].any()
    assert abs(rows[1]).max() < 0.01
    assert abs(rows[2]).max() > 88  # where exp overflows
    assert np.isfinite(rows).all()
    np.testing.assert_array_equal(rows[3:], drawn(f"8x512:{dtype}").astype(np.float32)[3:])


def test_edges_take_vectors_and_fewer_rows_than_there_are_edges():
    np.testing.assert_array_equal(drawn("1x4:float32:edges"), np.zeros((1, 4)))
    zero, tiny, large, *others = drawn("9:float32:edges") / drawn("9:float32")
    assert zero == 0
    assert tiny < 0.01
    assert large > 40
    assert others == [1] * 6


def test_arange_and_ones():
    np.testing.assert_array_equal(drawn("2x3:int32:arange"), [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(drawn("2:float32:ones"), [1, 1])


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("128by512", "give SHAPE"), ("", "give SHAPE"), ("2:float32:ones:x", "give SHAPE"),
        ("2:float64", "no data type of NKI"), ("2:int32:normal", "int32 is filled with"),
        ("2:int32:edges", "int32 is filled with"),
        ("2:float32:twos", "twos: a tensor of float32 is filled"), ("2:float8_e4m3fn_x4", "mean nothing"),
        ("missing.npy", "missing.npy"), ("2:int32:5..3", "the lower bound comes first"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(spec, said):
    with pytest.raises(click.UsageError, match=said):
        drawn(spec)


def test_a_file_is_loaded_and_raw_bytes_get_their_type_back(tmp_path):
    path = tmp_path / "x.npy"
    values = np.arange(4).astype(ml_dtypes.bfloat16)
    np.save(path, values)
    np.testing.assert_array_equal(drawn(f"{path}:bfloat16"), values)
    with pytest.raises(click.UsageError, match="another size"):
        drawn(f"{path}:float32")


def test_a_seed_gives_the_same_values_whatever_else_is_drawn():
    _, alone = arguments(["x=8:float32"], [], None, seed=3)
    _, both = arguments(["w=5:float32", "x=8:float32"], [], None, seed=3)
    _, other = arguments(["x=8:float32"], [], None, seed=4)
    np.testing.assert_array_equal(alone["x"], both["x"])
    assert (alone["x"] != other["x"]).any()
    assert (both["w"] != both["x"][:5]).any()


def test_values_are_literals_or_strings():
    _, named = arguments([], ["n=3", "scale=0.5", "sizes=(1, 2)", "mode=fast", "on=True"], None, 0)
    assert named == {"n": 3, "scale": 0.5, "sizes": (1, 2), "mode": "fast", "on": True}


@pytest.mark.parametrize("text", ["x", "=3", "2x=3"])
def test_an_argument_needs_a_name(text):
    with pytest.raises(click.UsageError, match="NAME=VALUE"):
        arguments([], [text], None, 0)


def test_a_function_gives_arguments_and_options_replace_them(tmp_path):
    file = tmp_path / "some_inputs.py"
    file.write_text(
        "def by_name():\n    return {'a': 1, 'b': 2}\ndef in_order():\n    return 1, 2\ndef neither():\n    return 3\n"
    )
    assert arguments([], ["b=5"], f"{file}:by_name", 0) == ((), {"a": 1, "b": 5})
    assert arguments([], [], f"{file}:in_order", 0) == ((1, 2), {})
    with pytest.raises(click.UsageError, match="returned int"):
        arguments([], [], f"{file}:neither", 0)


@pytest.mark.parametrize(
    ("named", "said"), [({"a": 1}, "missing a required argument: 'b'"), ({"a": 1, "b": 2, "c": 3}, "'c'")]
)
def test_a_call_that_does_not_fit_is_refused_with_what_the_kernel_takes(named, said):
    def kernel(a, b):
        return a

    require_all(kernel, (), {"a": 1, "b": 2})
    with pytest.raises(click.UsageError, match=f"{said}.*the kernel takes a, b"):
        require_all(kernel, (), named)
