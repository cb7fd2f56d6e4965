"""The driver over other people's kernels says what matches, differs, stops and does not import."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from legacy.__main__ import examine
from legacy.files import kernel_files
from legacy.page import page

HEAD = "import neuronxcc.nki as nki\nimport neuronxcc.nki.language as nl\n"
ADD = """
@nki.jit
def vector_add_{name}(a_vec, b_vec):
    out = nl.ndarray(a_vec.shape, dtype=a_vec.dtype, buffer=nl.shared_hbm)
    nl.store(out, nl.load(a_vec) {sign} nl.load(b_vec))
    return out
"""
TEST = """
import unittest
import numpy as np

@nki.jit(mode="simulation")
def twice(x):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    nl.store(out, nl.load(x) * 2)
    return out

class TestTwice(unittest.TestCase):
    def test_twice(self):
        x = np.ones((8, 4), np.float32)
        self.assertTrue(np.allclose(twice(x), 2))
"""


def examined(file: Path) -> dict[str, Any]:
    """What a worker prints of a file."""
    done = subprocess.run(
        [sys.executable, "-m", "legacy.worker", str(file)], capture_output=True, text=True, check=True,
        cwd=Path(__file__).resolve().parents[1],
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_kernels_match_numpy_differ_or_match_their_own_test(tmp_path: Path) -> None:
    file = tmp_path / "kernels.py"
    file.write_text(
        HEAD + ADD.format(name="naive", sign="+") + ADD.format(name="naive_wrong", sign="-") + TEST, "utf-8"
    )
    found = examined(file)
    assert found["imports"]
    assert {name.split(":")[1]: outcome[0] for name, outcome in found["kernels"].items()} == {
        "vector_add_naive": "match", "vector_add_naive_wrong": "differs", "twice": "match",
    }  # fmt: skip


def test_a_file_that_does_not_import_says_why(tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text(HEAD + "import no_such_package\n", "utf-8")
    found = examined(file)
    assert not found["imports"]
    assert "no_such_package" in found["why"]


def test_what_was_found_before_a_process_ended_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "ends.py"
    ends = "import os\n\ndef test_it():\n    os._exit(1)\n"
    file.write_text(
        HEAD + ADD.format(name="naive", sign="+") + TEST.replace("self.assertTrue", "print") + ends, "utf-8"
    )
    found = examine(file, 100)
    assert found["imports"]
    assert found["kernels"] == {
        f"{file}:twice": ["match", "its own TestTwice.test_twice"],
        f"{file}:the next one": ("refused", "out of 100 s, or ended"),
    }


@pytest.mark.parametrize(
    ("text", "number"),
    [(HEAD + "@nki.jit\ndef f(): pass\n", 1), (HEAD, 0), ("import nki\n@nki.jit\ndef f(): pass\n", 0)],
)
def test_only_files_of_the_older_nki_with_device_code_count_and_the_same_text_once(
    tmp_path: Path, text: str, number: int
) -> None:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(text, "utf-8")
    assert len([*kernel_files(tmp_path)]) == number


def test_the_page_counts_by_checkout_and_names_reasons(tmp_path: Path) -> None:
    rows = [
        {"file": f"{tmp_path}/ann+one/a.py", "imports": True, "why": "", "kernels": {"a:f": ["match", "NumPy"]}},
        {"file": f"{tmp_path}/ann+one/b.py", "imports": False, "why": "ImportError: x", "kernels": {}},
        {"file": f"{tmp_path}/bob+two/c.py", "imports": True, "why": "", "kernels": {"c:g": ["refused", "NKI101: no"]}},
    ]
    text = page(rows, tmp_path)
    assert "| ann/one | 2 | 1 | 1 | 0 | 0 |" in text
    assert "| bob/two | 1 | 1 | 0 | 0 | 1 |" in text
    assert "Of 3 files, **2 import**" in text
    assert "| 1 | NKI101: no |" in text
    assert "| 1 | ImportError: x |" in text
