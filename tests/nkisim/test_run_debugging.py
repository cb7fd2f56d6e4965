"""`nkisim run --tap`, `--check` and `--watch`, and a debugger in a kernel."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from nkisim.__main__ import main
from nkisim.reference_check import compare_outputs
from nkisim.watching import run_on_change

KERNEL = """
import numpy as np
import nki
import nki.isa as nisa
import nki.language as nl


@nki.jit
def scale(x, factor=2.0):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    for part in range(2):
        rows = half(x[32 * part : 32 * part + 32, :], part, factor)
        nisa.dma_copy(dst=out[32 * part : 32 * part + 32, :], src=rows)
    return out


def half(x, part, factor):
    rows = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf, name=f"rows_{part}")
    nisa.dma_copy(dst=rows, src=x)
    nisa.tensor_scalar(dst=rows, data=rows, op0=nl.multiply, operand0=factor)
    return rows


def twice(x):
    return 2 * x


def one_element_off(x):
    y = 2 * x
    y[40, 3] += 5
    return y


def of_another_shape(x):
    return x[:, :2]


def of_something_else(y):
    return y


def in_bfloat16(x):
    return x.astype("bfloat16") ** 2


def that_raises(x):
    raise ValueError("no luck")


an_array = np.ones((64, 16))


@nki.jit
def normed(x):
    tokens, total = nl.load(x), nl.ndarray((64, 1), dtype=nl.float32, buffer=nl.sbuf)
    squares = nl.ndarray(x.shape, dtype=nl.float32, buffer=nl.sbuf)
    nisa.activation_reduce(dst=squares, op=nl.square, data=tokens, reduce_op=nl.add, reduce_res=total)
    nisa.activation(dst=total, op=nl.rsqrt, data=total, scale=1 / 16)
    nisa.tensor_scalar(dst=tokens, data=tokens, op0=nl.multiply, operand0=total)
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(dst=out, src=tokens)
    return out


def normed_with_eps(x):
    return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-5)
"""
INPUT = ("--input", "x=64x16:float32", "--target", "trn2")
needs_watchfiles = pytest.mark.usefixtures("watchfiles")


@pytest.fixture(scope="session")
def watchfiles():
    return pytest.importorskip("watchfiles")


@pytest.fixture
def kernel(tmp_path):
    path = tmp_path / "scaled_rows.py"
    path.write_text(KERNEL)
    return path


def run(kernel, *options):
    return CliRunner().invoke(main, ["run", f"{kernel}:scale", *INPUT, *map(str, options)])


def test_check_agrees_with_a_function_of_the_inputs_that_says_the_same(kernel):
    result = run(kernel, "--check", f"{kernel}:twice")
    assert result.exit_code == 0, result.output
    assert "output agrees: relative L2 0, " in result.output


def test_check_ends_in_status_1_and_names_the_worst_row_and_the_first_element(kernel):
    result = run(kernel, "--check", f"{kernel}:one_element_off")
    assert result.exit_code == 1
    assert "output differs: relative L2 " in result.output
    assert "worst row 40 with " in result.output
    assert "first differing index [40, 3]" in result.output


def test_check_says_where_a_reference_computed_in_16_bits(kernel):
    hint = "the reference gives 16 bits: let it compute in float32"
    assert hint in run(kernel, "--check", f"{kernel}:in_bfloat16").output
    assert hint not in run(kernel, "--check", f"{kernel}:one_element_off").output


@pytest.mark.parametrize(("fill", "status"), [("normal", 0), ("edges", 1)])
def test_edges_show_a_missing_eps_that_normal_inputs_hide(kernel, fill, status):
    options = ("--input", f"x=64x16:float32:{fill}", "--target", "trn2", "--check", f"{kernel}:normed_with_eps")
    result = CliRunner().invoke(main, ["run", f"{kernel}:normed", *options])
    assert result.exit_code == status, result.output
    assert ("worst row 0 with inf" in result.output) is (status == 1)


def test_check_has_a_tolerance(kernel):
    assert run(kernel, "--check", f"{kernel}:one_element_off", "--tolerance", 100).exit_code == 0


def test_check_says_that_shapes_differ(kernel):
    result = run(kernel, "--check", f"{kernel}:of_another_shape")
    assert result.exit_code == 1
    assert "the kernel returns shape (64, 16), the reference (64, 2)" in result.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--check", "{kernel}:of_something_else"), "missing a required argument: 'y'; the kernel's arguments are x"),
        (("--check", "{kernel}:an_array"), "is a function of the kernel's arguments; got ndarray (64, 16)"),
        (("--check", "{kernel}:that_raises"), "scaled_rows.py:47)"),
        (("--check", "{kernel}:twice", "--no-numerics"), "--tap and --check need values"),
        (("--tap", "rows", "--no-numerics"), "--tap and --check need values"),
        (("--tap-to", "folder"), "--tap-to goes with --tap"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_run(kernel, options, said):
    result = run(kernel, *(word.format(kernel=kernel) for word in options))
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


def test_nan_agrees_with_nan_and_with_nothing_else():
    expected = np.array([[np.nan, 1.0], [2.0, 3.0]])
    assert all(each.agrees for each in compare_outputs(expected.copy(), expected, 1e-6))
    (check,) = compare_outputs(np.nan_to_num(expected), expected, 1e-6)
    assert not check.agrees
    assert check.first == (0, 0)


def test_each_output_is_compared():
    a = np.ones((2, 3))
    first, second = compare_outputs((a, a + 1), (a, a), 1e-3)
    assert (first.agrees, second.agrees) == (True, False)
    (number,) = compare_outputs((a, a), a, 1e-3)
    assert "returns 2, the reference 1" in str(number)


def test_empty_outputs_agree():
    (check,) = compare_outputs(np.ones((0, 4)), np.ones((0, 4)), 0.0)
    assert check.agrees


def test_tap_prints_what_a_tensor_holds_and_by_which_call(kernel):
    result = run(kernel, "--tap", "rows_*")
    assert result.exit_code == 0, result.output
    first, second = (line for line in result.output.splitlines() if line.startswith("tap "))
    assert first.startswith("tap rows_0 0: [32, 16] float32 on core 0, written at ")
    assert "scaled_rows.py:20, read at" in first
    assert "scaled_rows.py:20 (call 1 of half), read at" in second
    assert "root mean square" in result.output


def test_tap_says_when_there_is_nothing_of_that_name(kernel):
    assert "nothing was written to a tensor named columns" in run(kernel, "--tap", "columns").output


def test_taps_are_written(kernel, tmp_path):
    assert run(kernel, "--tap", "rows_1", "--tap-to", tmp_path / "taps").exit_code == 0
    assert np.load(tmp_path / "taps" / "rows_1" / "core_0" / "0000.npy").shape == (32, 16)


@needs_watchfiles
def test_watch_runs_the_same_command_without_the_option(kernel, monkeypatch):
    seen = {}
    monkeypatch.setattr("watchfiles.run_process", lambda folder, **options: seen.update(options, folder=folder))
    run_on_change(f"{kernel}:scale", ["run", f"{kernel}:scale", "--watch", *INPUT])
    assert seen["folder"] == kernel.parent
    assert "-m nkisim run" in seen["target"]
    assert "--watch" not in seen["target"]


def test_watch_without_the_library_says_what_to_install(kernel, monkeypatch):
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    result = run(kernel, "--watch")
    assert result.exit_code == 2
    assert "pip install 'nkimoe[watch]'" in result.output


@needs_watchfiles
@pytest.mark.slow
def test_watch_runs_again_when_the_kernel_changes(kernel, tmp_path):
    log = tmp_path / "log.txt"
    command = [
        sys.executable,
        "-m",
        "nkisim",
        "run",
        f"{kernel}:scale",
        *INPUT,
        "--check",
        f"{kernel}:twice",
        "--watch",
    ]
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=file, cwd=tmp_path) as process:
        try:
            _until(lambda: "output agrees" in log.read_text())
            kernel.write_text(KERNEL.replace("factor=2.0", "factor=3.0"))
            _until(lambda: "output differs" in log.read_text())
        finally:
            process.terminate()


def _until(happened):
    end = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.2)


def debug(kernel, commands, lnc):
    """What pdb says, a breakpoint on the multiplication of `half`."""
    line = KERNEL.splitlines().index("    return rows") + 1
    script = "\n".join([f"b {kernel}:{line}", "c", *commands, "q"]) + "\n"
    command = [sys.executable, "-m", "pdb", "-m", "nkisim", "run", f"{kernel}:scale", *INPUT, "--lnc", str(lnc)]
    done = subprocess.run(command, input=script, text=True, capture_output=True, timeout=120, cwd=Path(kernel).parent)
    return done.stdout


def test_pdb_stops_at_a_breakpoint_in_a_kernel_and_shows_tiles(kernel):
    said = debug(kernel, ["p rows", "p nki.language.program_id(0)", "up", "p part"], 1)
    assert "NkiTensor(shape=(32, 16), dtype=float32, buffer=sbuf, name='rows_0', values=[" in said
    assert "-> return rows" in said


def test_pdb_stops_on_each_core(kernel):
    core = "p __import__('nki').language.program_id(0)"
    said = debug(kernel, [core, "c", core, "c", core, "p rows", "c"], 2)
    assert [line for line in said.splitlines() if line in ("(Pdb) 0", "(Pdb) 1")] == ["(Pdb) 0", "(Pdb) 0", "(Pdb) 1"]
    assert said.count("name='rows_0', values=[") == 1
