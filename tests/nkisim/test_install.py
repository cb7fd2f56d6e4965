"""`import nki` after nkisim.install(), each in a Python of its own."""

import subprocess
import sys

import pytest


def python(source, **options):
    """Run `source` in a fresh interpreter whose warnings are errors."""
    command = [sys.executable, "-W", "error", "-c", source]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


def prints(source, **options):
    done = python(source, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_nothing_is_called_nki_before_installing(tmp_path):
    done = python("import nkisim, nki", cwd=tmp_path)
    assert "ModuleNotFoundError: No module named 'nki'" in done.stderr


def test_import_nki_gives_the_simulator():
    source = """
import nkisim
nkisim.install()
nkisim.install()
import sys
import nki, nki.isa as nisa, nki.language as nl
from nki.isa import dma_copy
import nkisim.nki
print(nki is nkisim.nki, nisa is nkisim.nki.isa, nl is nkisim.nki.language, dma_copy is nisa.dma_copy)
print(nki.__name__, nki.__spec__.name, nl.__name__, nl.__package__)
print(sum(type(f).__name__ == "NkiFinder" for f in sys.meta_path))
"""
    names = ["nkisim.nki", "nkisim.nki", "nkisim.nki.language", "nkisim.nki.language"]
    assert prints(source) == ["True"] * 4 + names + ["1"]


def test_a_kernel_that_says_import_nki_runs():
    source = """
import nkisim; nkisim.install()
import nki, nki.isa as nisa, nki.language as nl, numpy as np
@nki.jit
def double(x):
    tile = nl.load(x)
    nisa.tensor_tensor(dst=tile, data1=tile, data2=tile, op=nl.add)
    out = nl.ndarray(x.shape, x.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(dst=out, src=tile)
    return out
print(int(double(np.full((2, 3), 4, np.float32)).sum()), int(nki.simulate(double)(np.ones((1, 1), np.float32))[0, 0]))
"""
    assert prints(source) == ["48", "2"]


def test_the_older_place_of_the_enumerations_warns_once():
    source = """
import warnings, nkisim
nkisim.install()
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    from nki.isa.constants import oob_mode
    import nki.isa.constants as constants
import nki.isa, nkisim.operations.enums as enums
print(len(seen), seen[0].category.__name__, oob_mode is nki.isa.oob_mode, enums.__spec__.name, enums.__name__)
"""
    assert prints(source) == ["1", "DeprecationWarning", "True"] + ["nkisim.operations.enums"] * 2


@pytest.mark.parametrize("name", ["nki.nothing", "nki.isa.nothing", "nki.language.deep.nothing"])
def test_a_module_the_simulator_does_not_have_is_not_found(name):
    done = python(f"import nkisim; nkisim.install(); import {name}")
    assert "ModuleNotFoundError" in done.stderr


@pytest.mark.parametrize("origin", ["file", "none"])
def test_refuses_when_another_nki_is_loaded(tmp_path, origin):
    if origin == "file":
        (tmp_path / "nki.py").write_text("x = 1\n")
        load, place = "import nki", str(tmp_path)
    else:
        load, place = "import sys, types; sys.modules['nki'] = types.ModuleType('nki')", "an unknown place"
    done = python(f"{load}\nimport nkisim\nnkisim.install()", cwd=tmp_path)
    assert "RuntimeError: another `nki` is already imported from" in done.stderr
    assert place in done.stderr


def test_installing_prefers_the_simulator_to_a_package_not_loaded_yet(tmp_path):
    (tmp_path / "nki.py").write_text("x = 1\n")
    source = "import nkisim; nkisim.install(); import nki; print(nki.__name__)"
    assert prints(source, cwd=tmp_path) == ["nkisim.nki"]


def test_importing_the_simulator_installs_nothing():
    assert prints("import sys, nkisim; print('nki' in sys.modules, 'torch' in sys.modules)") == ["False", "False"]
