"""The page of the layer that the demo runs."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from nkimoe.cli.main import main

MOST_BYTES = 5_000_000
DEMO = ("--model", "qwen3-30b-a3b", "--tp", "4", "--tokens", "640", "--block-size", "128")


@pytest.mark.slow
def test_the_page_of_the_demo_s_layer_stays_below_five_megabytes(tmp_path: Path) -> None:
    pytest.importorskip("bokeh")
    result = CliRunner().invoke(main, ["run", *DEMO, "--no-numerics", "--html", str(tmp_path / "page.html")])
    assert result.exit_code == 0, result.output
    assert 1_000_000 < (tmp_path / "page.html").stat().st_size < MOST_BYTES
