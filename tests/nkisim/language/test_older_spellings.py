"""Loops, names and import paths of NKI 0.1 to 0.6."""

import subprocess
import sys

import numpy as np
import pytest
from support.device import tile

import nkisim.nki as nki
import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim import compat
from nkisim.errors import ArgumentError, LoopError, NotSimulated, RegisterError


@pytest.fixture(autouse=True)
def _forget_earlier_warnings(monkeypatch):
    monkeypatch.setattr(compat, "_warned", set())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_refuses_a_dynamic_range_whose_iterations_differ(trn2, refuses):
    def body():
        target, widths = tile((1, 4)), iter((1, 2, 3))
        for _ in nl.dynamic_range(3):
            nisa.memset(target[:, 0 : next(widths)], 1)

    with refuses(LoopError, "NKI302", "memset"):
        trn2.attempt(body)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_dynamic_range_may_stand_in_a_loop_and_be_left_early(trn2):
    seen = []

    def body():
        target = tile((1, 4))
        for _ in range(2):
            for i in nl.dynamic_range(2):
                nl.fori_loop(0, i, lambda j: nisa.memset(target, 1))
                seen.append(i.read())
        for i in nl.dynamic_range(9):
            seen.append(i.read())
            break

    trn2.attempt(body)
    assert seen == [0, 1, 0, 1, 0]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("step", [0, -1, 1.5])
def test_refuses_a_dynamic_range_with_another_step(trn2, refuses, step):
    with refuses(ArgumentError, "NKI101", str(step)):
        trn2.attempt(lambda: nl.dynamic_range(0, 4, step))


def count_down(seen):
    """`while register:` as NKI 0.6 wrote it."""
    register = nisa.register_alloc(3)
    while register:
        seen.append(register.read())
        nisa.register_move(register, register.read() - 1)


def test_a_register_has_a_truth_value_where_the_older_front_end_is_asked_for(trn2, monkeypatch):
    monkeypatch.setenv("NKI_COMPILER_FRONTEND", "custom")
    seen = []
    with pytest.warns(DeprecationWarning, match="while_loop"):
        trn2.attempt(lambda: count_down(seen))
    assert seen == [3, 2, 1]


@pytest.mark.parametrize("frontend", [None, "tracer"])
def test_refuses_while_register_otherwise(trn2, refuses, monkeypatch, frontend):
    monkeypatch.delenv("NKI_COMPILER_FRONTEND", raising=False)
    if frontend is not None:
        monkeypatch.setenv("NKI_COMPILER_FRONTEND", frontend)
    with refuses(RegisterError, "NKI301", "while"):
        trn2.attempt(lambda: count_down([]))


def test_older_names_of_the_language_warn_once():
    with pytest.warns(DeprecationWarning, match=r"nl\.bool is deprecated NKI; use nl\.bool_"):
        assert nl.bool is nl.bool_
    assert nl.bool is nl.bool_
    with pytest.warns(DeprecationWarning, match="kernel"):
        assert nl.nc(2) == 2


def test_simulate_kernel_is_simulate():
    def double(x):
        out = nl.ndarray(x.shape, x.dtype, buffer=nl.shared_hbm)
        nl.store(out, nl.add(nl.load(x), 1))
        return out

    with pytest.warns(DeprecationWarning, match=r"nki\.simulate"):
        result = nki.simulate_kernel(double, np.zeros((2, 3), np.float32))
    np.testing.assert_array_equal(result, 1)


def test_what_ran_on_devices_only_refuses_when_it_is_called():
    for name in ("baremetal", "benchmark", "profile", "trace"):
        with pytest.raises(NotSimulated, match=name):
            getattr(nki, name)(lambda: None)


OPTIONS = (
    "mode",
    "platform_target",
    "additional_compile_opt",
    "debug_kernel",
    "experimental_flags",
    "show_compiler_tb",
)


@pytest.mark.parametrize("option", OPTIONS)
def test_options_of_older_compilers_are_accepted(option):
    with pytest.warns(DeprecationWarning, match=option):
        assert nki.jit(**{option: "x"})(nl.num_programs)() == 1


def test_modules_may_keep_removed_names_they_do_not_use():
    from nkisim.nki import compiler

    allocate = compiler.sbuf.mod_alloc
    with pytest.raises(NotSimulated, match=r"nki\.compiler\.sbuf\.mod_alloc"):
        allocate(base_addr=0)


def test_the_enumerations_are_still_at_their_older_place():
    with pytest.warns(DeprecationWarning, match=r"nki\.isa\.constants"):
        assert nisa.constants.oob_mode is nisa.oob_mode


def python(source, cwd):
    command = [sys.executable, "-W", "error::UserWarning", "-c", source]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=cwd)


OLD_IMPORTS = """
import warnings, nkisim
nkisim.install()
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    import neuronxcc.nki as nki
    import neuronxcc.nki.language as nl
    import neuronxcc.nki.isa as nisa
    import neuronxcc.nki.typing as nt
    from neuronxcc.nki import baremetal, benchmark, profile, simulate_kernel
    from neuronxcc.nki.language import bfloat16, par_dim
import nki.language
print(len(seen), seen[0].category.__name__, nl is nki.language, nl.__name__)
"""

NEW_IMPORTS = """
import nkisim
nkisim.install()
import nki
print(nki.isa.__name__, nki.language.__name__, nki.typing.__name__, nki.compiler.__name__, nki.collectives.__name__)
import nki.dtype as dtypes, nki.experimental, numpy as np
from nki.compiler.kernel_builder import compile_kernel
from nki.collectives import ReplicaGroup
print(np.zeros(3, dtypes.float8_e4m3).dtype, nki.experimental.fori_loop is nki.language.fori_loop)
"""


def test_the_namespace_of_nki_0_1_is_nki_with_one_warning(tmp_path):
    done = python(OLD_IMPORTS, tmp_path)
    assert done.stdout.split() == ["1", "DeprecationWarning", "True", "nkisim.nki.language"], done.stderr


def test_a_compiler_that_is_installed_keeps_its_namespace(tmp_path):
    (tmp_path / "neuronxcc").mkdir()
    (tmp_path / "neuronxcc" / "__init__.py").write_text("genuine = True\n")
    done = python("import nkisim; nkisim.install(); import neuronxcc; print(neuronxcc.genuine)", tmp_path)
    assert done.stdout.split() == ["True"], done.stderr
    assert "ModuleNotFoundError" in python("import nkisim; nkisim.install(); import neuronxcc.nki", tmp_path).stderr


def test_the_rest_of_the_older_compiler_is_not_there(tmp_path):
    done = python("import nkisim; nkisim.install(); import neuronxcc.starfish", tmp_path)
    assert "ModuleNotFoundError" in done.stderr


def test_every_published_module_is_there_after_import_nki(tmp_path):
    done = python(NEW_IMPORTS, tmp_path)
    names = [f"nkisim.nki.{m}" for m in ("isa", "language", "typing", "compiler", "collectives")]
    assert done.stdout.split() == [*names, "float8_e4m3", "True"], done.stderr
