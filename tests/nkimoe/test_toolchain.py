"""`import nkimoe` decides once what `import nki` means. Each decision is made in a fresh process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

OURS = ("NKIMOE_TOOLCHAIN", "NKI_COMPILER_FRONTEND")
WHAT = "import nkimoe, nki; print(nkimoe.TOOLCHAIN, nki.__name__)"


def package(folder: Path, init: str = "", isa: str | None = None) -> Path:
    """A package `nki`; with `isa`, the source of its part that makes it a genuine toolchain."""
    (folder / "nki").mkdir()
    (folder / "nki/__init__.py").write_text(init)
    if isa is not None:
        (folder / "nki/isa").mkdir()
        (folder / "nki/isa/__init__.py").write_text(isa)
    return folder


def python(
    code: str, *options: str, path: Path | None = None, asked: str | None = None, front_end: str | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    environment |= {} if front_end is None else {"NKI_COMPILER_FRONTEND": front_end}
    environment |= {} if asked is None else {"NKIMOE_TOOLCHAIN": asked}
    environment |= {} if path is None else {"PYTHONPATH": str(path)}
    command = [sys.executable, *options, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


CHOOSE = (
    "import importlib.util, sys; "
    "spec = importlib.util.find_spec('nkimoe'); folder = spec.submodule_search_locations[0]; "
    "part = importlib.util.spec_from_file_location('toolchain', folder + '/toolchain.py'); "
    "module = importlib.util.module_from_spec(part); part.loader.exec_module(module); "
    "print(module.bind(), sys.modules['nki'].__file__ if 'nki' in sys.modules else 'nki not imported')"
)
"""Runs the decision alone: a fake toolchain has no instructions for the kernels to import."""


def test_without_a_toolchain_the_simulator_is_installed() -> None:
    done = python(WHAT, "-W", "error")
    assert (done.stdout.split(), done.stderr) == (["simulate", "nkisim.nki"], "")


def test_a_genuine_toolchain_is_used(tmp_path: Path) -> None:
    done = python(CHOOSE, "-W", "error", path=package(tmp_path, isa=""))
    assert done.stdout.split() == ["neuron", str(tmp_path / "nki/__init__.py")], done.stderr


def test_a_genuine_toolchain_may_be_one_compiled_file(tmp_path: Path) -> None:
    (package(tmp_path) / "nki/isa.py").write_text("")
    assert python(CHOOSE, path=tmp_path).stdout.startswith("neuron ")


@pytest.mark.parametrize(
    ("init", "isa"),
    [("", "raise ImportError('no driver')"), ("raise ImportError('no driver')", "")],
    ids=["isa", "nki"],
)
def test_a_broken_toolchain_raises_and_is_not_replaced(tmp_path: Path, init: str, isa: str) -> None:
    done = python(WHAT, path=package(tmp_path, init, isa))
    assert done.returncode != 0
    assert "ImportError: no driver" in done.stderr
    assert done.stdout == ""


def test_the_placeholder_is_named_in_a_warning_and_ignored(tmp_path: Path) -> None:
    done = python(WHAT, path=package(tmp_path))
    assert done.stdout.split() == ["simulate", "nkisim.nki"], done.stderr
    assert "RuntimeWarning" in done.stderr
    assert str(tmp_path / "nki") in done.stderr
    assert "placeholder" in done.stderr


def test_the_placeholder_is_not_executed(tmp_path: Path) -> None:
    done = python(WHAT, path=package(tmp_path, init="raise SystemExit('executed')"))
    assert done.returncode == 0, done.stderr


def test_the_warning_can_be_made_an_error(tmp_path: Path) -> None:
    done = python(WHAT, "-W", "error::RuntimeWarning", path=package(tmp_path))
    assert done.returncode != 0
    assert "placeholder" in done.stderr


def test_the_simulator_is_used_on_request_even_beside_a_genuine_toolchain(tmp_path: Path) -> None:
    done = python(WHAT, "-W", "error", path=package(tmp_path, isa=""), asked="simulate")
    assert done.stdout.split() == ["simulate", "nkisim.nki"], done.stderr


def test_asking_for_the_simulator_silences_the_placeholder(tmp_path: Path) -> None:
    done = python(WHAT, "-W", "error", path=package(tmp_path), asked="simulate")
    assert done.stdout.split() == ["simulate", "nkisim.nki"], done.stderr


def test_the_toolchain_is_used_on_request(tmp_path: Path) -> None:
    assert python(CHOOSE, path=package(tmp_path, isa=""), asked="neuron").stdout.startswith("neuron ")


def test_asking_for_a_toolchain_that_is_not_there_fails(tmp_path: Path) -> None:
    missing, placeholder = (python(WHAT, path=path, asked="neuron") for path in (None, package(tmp_path)))
    assert "No module named 'nki'" in missing.stderr
    assert "No module named 'nki.isa'" in placeholder.stderr
    assert missing.stdout == placeholder.stdout == ""


@pytest.mark.parametrize("asked", ["", "Neuron", "simulator"])
def test_another_value_of_the_variable_is_an_error(asked: str) -> None:
    done = python(WHAT, asked=asked)
    assert "NKIMOE_TOOLCHAIN is 'neuron' or 'simulate'" in done.stderr
    assert repr(asked) in done.stderr


def test_a_toolchain_that_is_already_imported_is_used(tmp_path: Path) -> None:
    done = python("import nki; " + CHOOSE, path=package(tmp_path, isa=""))
    assert done.stdout.startswith("neuron "), done.stderr


def test_a_simulator_that_is_already_installed_is_used(tmp_path: Path) -> None:
    done = python("import nkisim; nkisim.install(); import nki; " + WHAT, path=package(tmp_path, isa=""))
    assert done.stdout.split() == ["simulate", "nkisim.nki"], done.stderr


def test_the_simulator_is_never_mixed_with_a_toolchain_in_use(tmp_path: Path) -> None:
    done = python("import nki; " + WHAT, path=package(tmp_path, isa=""), asked="simulate")
    assert done.returncode != 0
    assert "already imported" in done.stderr


@pytest.mark.parametrize(
    ("version", "front_end"),
    [("0.6.0+1.2", "tracer"), ("0.7.0b1", None), ("0.7.1", "tracer"), ("0.10.0", None), ("1.0", None)],
)
def test_a_toolchain_that_traces_is_used(tmp_path: Path, version: str, front_end: str | None) -> None:
    path = package(tmp_path, init=f"__version__ = {version!r}", isa="")
    done = python(CHOOSE, "-W", "error", path=path, front_end=front_end)
    assert done.stdout.startswith("neuron "), done.stderr


@pytest.mark.parametrize(
    ("version", "front_end"), [("0.6.0+1.2", None), ("0.6.0", "parser"), ("0.7.0", "parser"), ("0.7.0", "custom")]
)
def test_a_front_end_that_parses_is_told_how_to_trace(tmp_path: Path, version: str, front_end: str | None) -> None:
    path = package(tmp_path, init=f"__version__ = {version!r}", isa="")
    done = python(WHAT, path=path, front_end=front_end)
    assert f"ImportError: NKI {version} would parse" in done.stderr
    assert "set NKI_COMPILER_FRONTEND=tracer before anything imports nki" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("version", ["0.2.1", "0.5.0+17324"])
@pytest.mark.parametrize("front_end", [None, "tracer"])
def test_an_older_toolchain_is_named_with_the_way_out(tmp_path: Path, version: str, front_end: str | None) -> None:
    path = package(tmp_path, init=f"__version__ = {version!r}", isa="")
    done = python(WHAT, path=path, front_end=front_end)
    assert f"this is NKI {version}: upgrade the SDK, or set NKIMOE_TOOLCHAIN=simulate" in done.stderr
    assert python(WHAT, path=path, asked="simulate").stdout.split() == ["simulate", "nkisim.nki"]
