"""`nkisim migrate` names what NKI 0.1 had and the current NKI has not."""

import ast
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import nkisim.migrate
from nkisim.__main__ import main
from nkisim.migrate import advise
from nkisim.nki._names import PUBLISHED
from nkisim.renamed import RENAMED, SHORT

HEAD = """
import neuronxcc.nki as nki
import neuronxcc.nki.compiler as ncc
import neuronxcc.nki.isa as nisa
import neuronxcc.nki.language as nl
import numpy as np
"""


def constructs(line: str) -> set[str]:
    """What is said of a line, imports left out."""
    return {advice.construct for advice in advise(HEAD + line, "old.py")} - {"import"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("i = nl.arange(128)[:, None]", "index tensor"),
        ("i_p, i_f = nl.mgrid[0:128, 0:512]", "index tensor"),
        ("i = nl.arange(128)[:, None]\nx = nl.load(a[i, 0])", "indexed access"),
        ("nl.store(a, b, mask=c < 3)", "mask="),
        ("x = nl.ndarray((4, nl.par_dim(128), 8), dtype=nl.float32)", "par_dim"),
        ("for i in nl.affine_range(4): pass", "range"),
        ("y = nisa.activation(op=np.exp, data=x)", "returned tile"),
        ("y = nisa.reciprocal(x, dtype=nl.float32)", "dtype="),
        ("y = nisa.affine_select(pred=p, on_true_tile=x, on_false_value=0)", "changed arguments"),
        ("x = nl.load(a)\ny = x * 2", "operator on tiles"),
        ("x = nl.load(a)\ny = -x", "operator on tiles"),
        ("x = nl.load(a)\ny = x < 2", "operator on tiles"),
        ("x = nl.zeros((128, 8), dtype=nl.float32)\nx[0:64] = nl.exp(y)", "item assignment"),
        ("x = nl.zeros((128, 8), dtype=nl.float32)\nx += nl.matmul(a, b)", "in-place operator"),
        ("x = nl.load(a)\ny = x.broadcast_to((128, 8))", "broadcast_to"),
        ("i = nl.program_id(1)", "grid of several axes"),
        ("kernel[4, 2](a)", "grid of several axes"),
        ("x = nl.ndarray((128, 8), dtype=nl.float32, buffer=ncc.sbuf.mod_alloc(base_addr=0))", "direct allocation"),
        ("k = nki.jit(f, mode='simulation')", "jit options"),
        ("nki.simulate_kernel(f, a)", "simulate_kernel"),
        ("@nki.baremetal\ndef f(): pass", "baremetal"),
        ("nki.benchmark(warmup=1)(f)", "benchmark"),
        ("y = nl.static_cast(x, nl.float32)", "nl.static_cast"),
    ],
)
def test_a_removed_construct_is_named(line: str, expected: str) -> None:
    assert expected in constructs(line)


@pytest.mark.parametrize(
    "line",
    [
        "i = nl.arange(128)[:, None]\nj = i + 3\nx = a[j]",
        "i = nl.mgrid[0:4, 0:8]\nx = a[i.p, i.x]",
        "def pair(n):\n    made = []\n    made.append(nl.arange(n))\n    return made\n(i,) = pair(4)\nx = a[i]",
        "def one(n):\n    return nl.arange(n) * 2\nx = a[one(3)]",
    ],
)
def test_what_is_made_of_an_index_tensor_is_one(line: str) -> None:
    assert "indexed access" in constructs(line)


@pytest.mark.parametrize(
    "line",
    [
        "def part(n):\n    return nl.load(b[nl.arange(n)])\nx = part(3)\ny = a[0, x]",
        "x = nl.load(b[nl.arange(4)])\ny = c[x]",
    ],
)
def test_what_was_loaded_by_an_index_tensor_is_none(line: str) -> None:
    lines = {advice.line for advice in advise(HEAD + line, "old.py") if advice.construct == "indexed access"}
    assert (HEAD + line).count("\n") + 1 not in lines


@pytest.mark.parametrize(
    "line",
    [
        "x = nl.load(a)",
        "nl.store(a, x)",
        "nisa.activation(dst=y, op=nl.exp, data=x)",
        "x = nl.ndarray((128, 8), dtype=nl.float32, buffer=nl.psum)",
        "nisa.memset(x, 0.0)",
        "nisa.iota(dst=x, pattern=[[1, 8]], offset=0)",
        "nisa.nc_transpose(dst=x, data=y, engine=nisa.vector_engine)",
        "n = a.shape[0] * 2 + 1",
        "y = table[i, j]",
        "i = nl.program_id(0)",
        "out = nl.ndarray((4, 8), dtype=nl.float32, buffer=nl.shared_hbm)\nrows = out.shape[0] - 1",
        "@nki.jit\ndef f(a): return a",
        "y = np.arange(128)[:, None] < 3",
    ],
)
def test_what_is_still_there_is_not_named(line: str) -> None:
    assert constructs(line) == set()


def test_the_current_nki_gets_no_advice() -> None:
    source = HEAD.replace("neuronxcc.nki", "nki") + "x = nl.affine_range(4)\ny = nisa.reciprocal(x)\n"
    assert advise(source, "new.py") == []


def test_advice_has_line_text_reason_and_decision() -> None:
    (advice,) = [each for each in advise(HEAD + "x = nl.par_dim(64)\n", "old.py") if each.construct == "par_dim"]
    assert (advice.line, advice.source, advice.write) == (7, "nl.par_dim(64)", "64")
    assert "decide: " in str(advice)
    assert "old.py:7: par_dim" in str(advice)


def test_the_command_prints_one_kernel_or_json(tmp_path: Path) -> None:
    file = tmp_path / "old.py"
    file.write_text(HEAD + "def f(x):\n    return nl.par_dim(x)\ndef g(x):\n    return nl.arange(x)\n", "utf-8")
    text = CliRunner().invoke(main, ["migrate", f"{file}:f"])
    assert "par_dim" in text.output
    assert "arange" not in text.output
    found = json.loads(CliRunner().invoke(main, ["migrate", str(file), "--json"]).output)
    assert {each["construct"] for each in found} == {"import", "par_dim", "index tensor"}


@pytest.mark.parametrize("target", ["missing.py", "old.py:h", "broken.py"])
def test_what_cannot_be_read_is_an_error_of_use(tmp_path: Path, target: str) -> None:
    (tmp_path / "old.py").write_text(HEAD, "utf-8")
    (tmp_path / "broken.py").write_text("def (", "utf-8")
    assert CliRunner().invoke(main, ["migrate", str(tmp_path / target)]).exit_code == 2


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("from neuronxcc.nki.language import arange\ni = arange(128)", "index tensor"),
        ("from neuronxcc.nki import baremetal\n@baremetal\ndef f(): pass", "baremetal"),
        ("@ncc.enable_stack_allocator\ndef f(): pass", "ncc.enable_stack_allocator"),
        ("y = nisa.tensor_copy_dynamic_src(x)", "nisa.tensor_copy_dynamic_src"),
    ],
)
def test_a_name_is_found_however_it_was_imported(line: str, expected: str) -> None:
    assert expected in constructs(line)


def test_an_instruction_that_took_a_destination_before_returned_no_tile() -> None:
    assert constructs("nisa.nc_stream_shuffle(x, y, mask)") == {"changed arguments"}


def test_advice_is_in_the_names_that_nki_has_today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RENAMED, "nki.isa", {"nc_matmul": "product"})
    source = HEAD + "x = nl.zeros((128, 8), dtype=nl.float32)\nx += nl.matmul(a, b)\ny = nisa.nc_matmul(a, b)\n"
    texts = [each.write for each in advise(source, "old.py")]
    assert "nisa.product(dst=total, ...)" in texts
    assert "nisa.product(dst=...) into a tile allocated with nl.ndarray" in texts
    assert not any("nc_matmul" in text for text in texts)


def test_advice_names_what_is_published() -> None:
    folder = Path(nkisim.migrate.__file__).parent
    named = {name for file in folder.glob("*.py") for name in names_in(file.read_text("utf-8"))}
    assert {("nki.isa", "nc_matmul"), ("nki.language", "where")} < named
    assert named <= set(PUBLISHED)


def names_in(source: str) -> set[tuple[str, str]]:
    """Names of nki.isa and nki.language in the texts of a file that are more than a name; docstrings left out."""
    tree = ast.parse(source)
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docs]
    long = [text for text in texts if isinstance(text, str) and not re.fullmatch(r"[\w.]+", text)]
    modules = {short: module for module, short in SHORT.items()}
    return {(modules[short], name) for text in long for short, name in re.findall(r"\b(nl|nisa)\.(\w+)", text)}
