"""The scripts of `docs/examples`."""

import subprocess
import sys

import pytest

from website.examples import SCRIPTS, example_pages


def test_an_example_has_a_page() -> None:
    assert "torchrun --nproc-per-node 4 ranks.py" in example_pages()["examples/ranks.md"]


@pytest.mark.slow
def test_the_example_on_four_ranks_runs() -> None:
    pytest.importorskip("torch")
    (script,) = SCRIPTS
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "4"]
    subprocess.run([*launcher, str(script)], check=True, timeout=200)
