"""What the command cannot use ends in one line on standard error and exit status 2, whichever option or file it is."""

import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from nkisim.__main__ import main
from nkisim.command_inputs import tensor

KERNELS = """
import nki, nki.language as nl, nki.isa as nisa

number = 3

class Thing:
    pass

@nki.jit
def copy(a):
    out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(out, a)
    return out

def raising(a):
    raise KeyError("first line" + chr(10) + "second")

def exiting(a):
    raise SystemExit(3)

def good():
    return {"a": nl_array()}

def nl_array():
    import numpy as np
    return np.zeros((8, 8), np.float32)

def failing():
    return 1 / 0

def counting():
    return 7
"""
INPUT = ("--input", "a=128x64")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEURON_PLATFORM_TARGET_OVERRIDE", "trn2")
    Path("kernels.py").write_text(KERNELS)
    Path("no_python.py").write_text("def copy(:")
    Path("no_text.py").write_bytes(b"\xff\xfe")
    Path("leaving.py").write_text("import sys; sys.exit(7)")
    Path("failing.py").write_text("import no_such_module_of_anybody")
    Path("a_folder.py").mkdir()
    Path("lying.npy").write_bytes(_npy_header((10**15,)))
    Path("short.npy").write_bytes(b"\x93NUM")
    np.save("good.npy", np.zeros((8, 8), np.float32))
    np.savez("several", a=np.zeros(1))
    os.rename("several.npz", "several.npy")
    np.save("objects.npy", np.array([{}], dtype=object))
    Path("list.json").write_text("[1]")
    Path("strange.json").write_text(json.dumps({"predicted": {"latency_us": "x", "interval_us": 1, "lines": [],
                                                             "critical_path_us": {}, "engines": 3}}))  # fmt: skip
    return tmp_path


def _npy_header(shape: tuple[int, ...]) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def nkisim(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refused(*arguments):
    ended = nkisim(*arguments)
    assert ended.exit_code == 2, (arguments, ended.output)
    assert isinstance(ended.exception, SystemExit), ended.exception
    assert ended.stdout == ""
    assert ended.stderr.startswith("Error: ")
    assert ended.stderr.count("\n") == 1, ended.stderr
    return ended.stderr


def test_what_is_whole_runs(folder):
    assert nkisim("run", "kernels.py:copy", *INPUT).exit_code == 0
    assert nkisim("run", "kernels.py:copy", "--inputs", "kernels.py:good").exit_code == 0
    assert nkisim("run", "kernels.py:copy", "--input", "a=good.npy").exit_code == 0


KERNEL_ERRORS = {
    "kernels.py:number": "a function of Python; got int 3",
    "kernels.py:Thing": "a function of Python; got type",
    "kernels.py:nothing": "has no attribute 'nothing'",
    "os:getcwd": "a function of Python; got builtin",
    "kernels.py:raising": "the kernel raises KeyError: ",
    "kernels.py:exiting": "the kernel raises SystemExit: 3 (kernels.py:",
    "none.py:copy": "no such file",
    "a_folder.py:copy": "no such file",
    "no_python.py:copy": "SyntaxError: ",
    "no_text.py:copy": "SyntaxError: ",
    "leaving.py:copy": "SystemExit: 7 (leaving.py:1)",
    "failing.py:copy": "No module named 'no_such_module_of_anybody' (failing.py:1)",
    "no.such.module:copy": "No module named 'no'",
    "kernels.py": "give module:name or file.py:name",
    ":copy": "give module:name or file.py:name",
    "": "give module:name or file.py:name",
}


@pytest.mark.parametrize("command", ["run", "trace", "roofline"])
@pytest.mark.parametrize("kernel", KERNEL_ERRORS)
def test_a_kernel_that_is_none_or_fails_is_one_line(folder, kernel, command):
    assert KERNEL_ERRORS[kernel] in refused(command, kernel, *INPUT)
    assert not list(folder.glob("*.trace.json")) + list(folder.glob("*.png"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--inputs", "kernels.py:failing"), "ZeroDivisionError: division by zero (kernels.py:"),
        (("--inputs", "kernels.py:counting"), "returned int"),
        (("--inputs", "kernels.py:number"), "is no function: int"),
        (("--inputs", "none.py:good"), "no such file"),
        (("--input", "a=1000000000x1000000"), "this machine has"),
        (("--input", "a=10000000000000000000000x2"), "give SHAPE"),
        (("--input", f"a={'1x' * 70}1"), "dimension"),
        (("--input", "a=4x4:int32:0..1e30"), "out of bounds"),
        (("--input", "a=4x4:float32:0..1e999"), "range exceeds valid bounds"),
        (("--input", "a=4x4:float32:1.2.3..4"), "could not convert"),
        (("--input", "a=4x4:float32:many"), "is filled with"),
        (("--input", "a=4x4:float99"), "no data type"),
        (("--input", "a=-4x4"), "give SHAPE"),
        (("--input", "a=nan"), "give SHAPE"),
        (("--input", "a"), "give NAME=VALUE"),
        (("--input", "b=4x4"), "the kernel takes a"),
        (("--input", "a=lying.npy"), "lying.npy: "),
        (("--input", "a=short.npy"), "short.npy: "),
        (("--input", "a=several.npy"), "holds several arrays"),
        (("--input", "a=objects.npy"), "objects.npy: "),
        (("--input", "a=none.npy"), "none.npy"),
        (("--arg", "a=3"), "the kernel raises AttributeError"),
        (("--arg", f"a={'[' * 5000}"), "the kernel raises AttributeError"),
        (("--arg", "a"), "give NAME=VALUE"),
        ((*INPUT, "--seed", "-1"), "--seed"),
        ((*INPUT, "--seed", "nan"), "--seed"),
        ((*INPUT, "--lnc", "3"), "--lnc"),
        ((*INPUT, "--target", "trn9"), "Did you mean"),
        ((*INPUT, "--machine", "kernels.py"), "no machine file"),
        ((*INPUT, "--json", "none/x.json"), "folder does not exist"),
        ((*INPUT, "--json", "a_folder.py"), "is a directory"),
        ((*INPUT, "--timeline", "x.xyz"), "a picture is"),
        ((*INPUT, "--what-if", "hbm"), "give NAME=FACTOR"),
        ((*INPUT, "--what-if", "hbm=nan"), "positive number"),
        ((*INPUT, "--what-if", "hbm=inf"), "positive number"),
        ((*INPUT, "--what-if", "hbm=-1"), "positive number"),
        ((*INPUT, "--what-if", "hbm=0"), "positive number"),
        ((*INPUT, "--none"), "No such option"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_wrong_value_of_an_option_is_one_line(folder, options, message):
    assert message in refused("run", "kernels.py:copy", *options)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1", "0", "many", ""])
@pytest.mark.parametrize("option", ["--flops", "--bytes"])
def test_useful_work_is_a_finite_positive_number(folder, option, value):
    other = {"--flops": "--bytes", "--bytes": "--flops"}[option]
    assert option in refused("roofline", "kernels.py:copy", *INPUT, option, value, other, 4)
    assert nkisim("roofline", "kernels.py:copy", *INPUT, option, 1e9, other, 4).exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("lint", "kernels.py:number"), ("lint", "no_text.py"), ("lint", "no_python.py"), ("lint", "none.py"),
        ("lint", "a_folder.py"), ("lint", "kernels.py", "--sdk", "1"), ("lint", "kernels.py:raising", *INPUT),
        ("diff", "list.json", "list.json"), ("diff", "strange.json", "strange.json"),
        ("diff", "no_text.py", "list.json"),
        ("diff", "none.json", "list.json"), ("diff", "list.json", "list.json", "--at-most", "nan"),
        ("fit", "no_text.py", "-o", "x.toml"), ("fit", "list.json", "-o", "x.toml"), ("fit", "list.json"),
        ("script", "none.py"), ("none",), ("run",), ("--none",),
    ],
    ids=" ".join,
)  # fmt: skip
def test_the_other_commands_refuse_in_one_line_too(folder, arguments):
    refused(*arguments)


def test_nothing_is_allocated_for_a_shape_that_fits_no_memory():
    tracemalloc.start()
    try:
        with pytest.raises(Exception, match="this machine has"):
            tensor("1000000000x1000000", np.random.default_rng(0))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert tensor("2x3:float32", np.random.default_rng(0)).shape == (2, 3)
