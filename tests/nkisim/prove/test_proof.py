"""`nkisim prove` finds kernels equal that are, and says where others part."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from support import older_kernels as older

import nkisim.nki as nki
import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.__main__ import main
from nkisim.errors import ArgumentError
from nkisim.prove import prove
from nkisim.prove.compare import first_difference, rounding
from nkisim.prove.variants import variants

X = np.random.default_rng(0).standard_normal((128, 40), dtype=np.float32)


@pytest.fixture(autouse=True)
def on_trn2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURON_PLATFORM_TARGET_OVERRIDE", "trn2")


def newer(sign: Any = nl.add, scaled: Any = nl.multiply, columns: int | None = None) -> Callable[..., Any]:
    """Softmax in the current NKI, with mistakes to plant."""

    @nki.jit
    def softmax(x: Any) -> Any:
        out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
        tile, grown = nl.ndarray(x.shape, dtype=nl.float32), nl.ndarray(x.shape, dtype=nl.float32)
        largest, total = nl.ndarray((x.shape[0], 1), dtype=nl.float32), nl.ndarray((x.shape[0], 1), dtype=nl.float32)
        nisa.dma_copy(dst=tile, src=x)
        nisa.tensor_reduce(dst=largest, op=nl.maximum, data=tile[:, :columns], axis=1, negate=True)
        nisa.activation(dst=grown, op=nl.exp, data=tile, bias=largest)
        nisa.tensor_reduce(dst=total, op=sign, data=grown, axis=1)
        nisa.reciprocal(dst=total, data=total)
        nisa.tensor_scalar(dst=grown, data=grown, op0=scaled, operand0=total)
        nisa.dma_copy(dst=out, src=grown)
        return out

    kernel: Callable[..., Any] = softmax
    return kernel


def test_a_kernel_written_anew_is_equal_and_both_times_are_predicted() -> None:
    proof = prove(older.softmax, newer(), {"x": X})
    assert proof.is_equal
    assert {trial.outcome for trial in proof.trials} == {"equal", "refused"}
    assert 1 < proof.old_us < 100
    assert 1 < proof.new_us < 100
    assert "equal to rounding" in str(proof)
    assert "predicted, not measured" in str(proof)


def test_sizes_that_leave_the_old_result_unwritten_are_refused() -> None:
    trials = {trial.arguments: trial for trial in prove(older.softmax, newer(), {"x": X}).trials}
    assert trials["129 in place of 128"].detail == "the old kernel leaves elements of its result unwritten"
    assert trials["41 in place of 40"].outcome == "equal"


@pytest.mark.parametrize("mistake", [newer(sign=nl.maximum), newer(scaled=nl.add)])
def test_a_mistake_is_found_with_the_lines_that_wrote_the_tile(mistake: Any) -> None:
    proof = prove(older.softmax, mistake, {"x": X})
    first = proof.trials[0]
    assert not proof.is_equal
    assert first.outcome == "differs"
    assert "in the tile [0:128, 0:40]" in first.detail
    assert first.old_line is not None
    assert first.old_line.file.endswith("older_kernels.py")
    assert first.new_line is not None
    assert first.new_line.file.endswith("test_proof.py")


def test_a_mistake_that_ordinary_values_hide_is_found_with_others() -> None:
    proof = prove(older.softmax, newer(columns=39), {"x": np.minimum(X, 1)})
    assert proof.trials[0].outcome == "equal"
    assert not proof.is_equal


def test_a_size_that_only_the_new_kernel_refuses_is_named_and_no_difference() -> None:
    plain = newer()

    @nki.jit
    def even(x: Any) -> Any:
        assert x.shape[1] % 2 == 0, "an even number of columns"
        return plain(x)

    proof = prove(older.softmax, even, {"x": X})
    trials = {trial.arguments: trial for trial in proof.trials}
    assert proof.is_equal
    assert trials["41 in place of 40"].outcome == "narrower"
    assert "the new one 3 more" in str(proof)


def over_full(x: Any, out: Any, rows: Any) -> None:
    nl.ndarray((129, 4), dtype=nl.float32)


def beyond_a_list(x: Any, out: Any, rows: Any) -> None:
    [x][1]


def beyond_numpy(x: Any, out: Any, rows: Any) -> None:
    np.broadcast_shapes((2,), (3,))


def after_a_half(x: Any, out: Any, rows: Any) -> None:
    nisa.dma_copy(dst=out[0:64], src=rows[0:64])
    assert x is None


@pytest.mark.parametrize("ends", [over_full, beyond_a_list, beyond_numpy, after_a_half])
def test_a_new_kernel_that_stops_is_not_equal_and_says_where(ends: Callable[..., None]) -> None:
    @nki.jit
    def stops(x: Any) -> Any:
        out, rows = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm), nl.load(x)
        ends(x, out, rows)
        return out

    proof = prove(older.softmax, stops, {"x": X})
    first, code = proof.trials[0], ends.__code__
    assert not proof.is_equal
    assert proof.new_us is None
    assert first.outcome == "stops"
    assert first.old_line is not None
    assert first.old_line.file.endswith("older_kernels.py")
    assert first.new_line is not None
    assert first.new_line.file == code.co_filename
    assert code.co_firstlineno < first.new_line.line <= code.co_firstlineno + 2
    assert f"new: stops at {first.new_line}" in str(proof)
    assert "the new one stops" in str(proof)


def test_the_old_line_is_that_of_the_first_element_a_stopped_kernel_left_out() -> None:
    @nki.jit
    def stops(x: Any) -> Any:
        out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
        after_a_half(x, out, nl.load(x))

    line = prove(older.in_halves, stops, {"x": X}).trials[0].old_line
    assert line is not None
    assert line.line == older.in_halves.body.__code__.co_firstlineno + 5


def test_a_new_kernel_that_takes_other_arguments_stops_at_its_first_line() -> None:
    @nki.jit
    def two(x: Any, y: Any) -> Any:
        return x

    first = prove(older.softmax, two, {"x": X}).trials[0]
    assert first.new_line is not None
    assert (first.new_line.file, first.new_line.line) == (__file__, two.function.__code__.co_firstlineno)


def test_an_old_kernel_that_stops_is_an_error_with_its_line() -> None:
    with pytest.raises(ArgumentError, match=r"the old kernel runs .* got the old kernel: .*older_kernels.py:\d+"):
        prove(older.tiled_matmul, newer(), {"lhs_t": X, "rhs": None})


@pytest.mark.parametrize(("distance", "found"), [(1e-6, False), (1e-3, True)])
def test_rounding_is_no_difference(distance: float, found: bool) -> None:
    step = rounding([X])
    assert (first_difference([X], [X + np.float32(distance)], step) is not None) is found


def test_results_of_other_shapes_differ() -> None:
    assert "shapes" in str(first_difference([X], [X[:64]], 1e-7))


def test_variants_keep_integers_and_change_a_size_everywhere() -> None:
    named = {"x": X, "ids": np.arange(40, dtype=np.int32), "eps": 1e-6}
    found = {variant.name: variant.arguments for variant in variants(named)}
    assert found["as given"] is named
    assert np.array_equal(found["zeros"]["ids"], named["ids"])
    assert found["39 in place of 40"]["x"].shape == (128, 39)
    assert found["39 in place of 40"]["ids"].shape == (39,)
    assert found["39 in place of 40"]["eps"] == 1e-6


def test_the_command_prints_the_proof(tmp_path: Path) -> None:
    (tmp_path / "old_copy.py").write_text(
        "import nkisim.legacy.nki as nki\nimport nkisim.legacy.nki.language as nl\n\n@nki.jit\ndef double(x):\n"
        "    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)\n"
        "    nl.store(out, nl.load(x) * 2.0)\n    return out\n",
        "utf-8",
    )
    (tmp_path / "new_copy.py").write_text(
        "import nki\nimport nki.language as nl\n\n@nki.jit\ndef double(x):\n"
        "    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)\n"
        "    tile = nl.load(x)\n    nl.store(out, nl.add(tile, tile))\n    return out\n",
        "utf-8",
    )
    old, new = f"{tmp_path}/old_copy.py:double", f"{tmp_path}/new_copy.py:double"
    done = CliRunner().invoke(main, ["prove", old, new, "--input", "x=64x8:float32"])
    assert done.exit_code == 0, done.output
    assert "equal to rounding" in done.output
    broken = new.replace("new_copy", "broken_copy")
    text = (tmp_path / "new_copy.py").read_text("utf-8")
    (tmp_path / "broken_copy.py").write_text(text.replace("nl.load(x)", "[x][1]"), "utf-8")
    done = CliRunner().invoke(main, ["prove", old, broken, "--input", "x=64x8:float32"])
    assert done.exit_code == 1, done.output
    assert "broken_copy.py:7\n" in done.output
