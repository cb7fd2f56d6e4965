"""The scripts of `docs/examples`."""

import shlex
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner

from nkisim.__main__ import main
from website.examples import SCRIPTS, example_pages
from website.links import ROOT

KERNEL = ROOT / "docs" / "examples" / "normed_matmul.py"


def test_an_example_has_a_page() -> None:
    assert "torchrun --nproc-per-node 4 ranks.py" in example_pages()["examples/ranks.md"]
    assert "def normed_matmul(x, w):" in example_pages()["examples/normed_matmul.md"]


def test_the_commands_of_the_readme_lead_to_a_page_of_ones_own_kernel(tmp_path, monkeypatch) -> None:
    pytest.importorskip("bokeh")
    section = (ROOT / "README.md").read_text("utf-8").split("## Your own kernel")[1].split("```")[1]
    clone, setup, copy, *commands = section.splitlines()[1:]
    assert (clone.split()[:2], setup.split()[:2]) == (["git", "clone"], ["make", "setup"])
    _, source, target = shlex.split(copy, comments=True)
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / source, target)
    for command in commands:
        program, *arguments = shlex.split(command)
        done = CliRunner().invoke(main, arguments)
        assert (program, done.exit_code) == ("nkisim", 0), done.output
    assert [path.name for path in tmp_path.glob("*.html")] == ["report.html"]


def test_the_quickstart_shows_the_example() -> None:
    kernel = KERNEL.read_text("utf-8").split("@nki.jit")[1].split("\n\n\ndef expected")[0]
    assert kernel in (ROOT / "docs/quickstarts/kernel_author.md").read_text("utf-8")


@pytest.mark.slow
def test_the_example_on_four_ranks_runs() -> None:
    pytest.importorskip("torch")
    (script,) = (path for path in SCRIPTS if path.name == "ranks.py")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "4"]
    subprocess.run([*launcher, str(script)], check=True, timeout=200)
