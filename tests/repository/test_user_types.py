"""What a user's type checker says of a program that uses both packages, from the wheel."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import ml_dtypes
import numpy as np
import numpy.typing as npt

import nkimoe
import nkisim

nkisim.install()

import nki
import nki.isa as nisa
import nki.language as nl
from nkimoe.routing import build_block_mapping, scatter_affinities
from nkisim.testing import assert_kernel_close


@nki.jit
def scale_rows(x: nl.NkiTensor, factors: nl.NkiTensor) -> nl.NkiTensor:
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    rows = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    column = nl.ndarray(factors.shape, dtype=factors.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=rows, src=x)
    nisa.dma_copy(dst=column, src=factors)
    nisa.tensor_scalar(dst=rows, data=rows, op0=nl.multiply, operand0=column)
    nisa.dma_copy(dst=out, src=rows)
    return out


def predicted_us(x: npt.NDArray[np.float32]) -> float:
    run = nkisim.Simulator(target="trn2").run(scale_rows, x, x[:, :1].copy())
    assert_kernel_close(run, x * x[:, :1])
    return run.profile.latency_us


def layer(tokens: int) -> npt.NDArray[np.float32]:
    rng, bf16 = np.random.default_rng(0), ml_dtypes.bfloat16
    experts = rng.integers(0, 4, (tokens, 1))
    mapping = build_block_mapping(experts, 4, block_size=128)
    out = nkimoe.moe_cte[2](
        hidden_states=rng.standard_normal((tokens, 256)).astype(bf16),
        expert_affinities_masked=scatter_affinities(np.ones((tokens, 1), np.float32), experts, 4, dtype=bf16),
        gate_up_proj_weight=rng.standard_normal((4, 256, 2, 96)).astype(bf16),
        down_proj_weight=rng.standard_normal((4, 96, 256)).astype(bf16),
        token_position_to_id=mapping.token_position_to_id,
        block_to_expert=mapping.block_to_expert,
        block_size=128,
        spec=nkimoe.MoECTESpec(nkimoe.MoECTEImplementation.shard_on_block),
    )
    return np.asarray(out, np.float32)
"""
MISTAKES = {
    "a target that is a number": ('target="trn2"', "target=2", 'Argument "target"'),
    "a size of a block that is a text": ("4, block_size=128", '4, block_size="128"', 'Argument "block_size"'),
    "a latency taken for a text": ("-> float:", "-> str:", "Incompatible return value"),
}


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """An interpreter that finds the packages of the wheel, and of ours what they depend on."""
    folder = tmp_path_factory.mktemp("user")
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "venv" / "bin" / "python"


def strict_mypy(python, program, folder):
    (folder / "program.py").write_text(program)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--python-executable", python, "program.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_program_that_uses_both_packages_is_clean_under_strict_mypy(python, tmp_path):
    said = strict_mypy(python, PROGRAM, tmp_path)
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("right", "wrong", "told"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_in_types_are_found(python, tmp_path, right, wrong, told):
    assert PROGRAM.count(right) == 1
    said = strict_mypy(python, PROGRAM.replace(right, wrong), tmp_path)
    assert said.returncode == 1
    assert told in said.stdout
