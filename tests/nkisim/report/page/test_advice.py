"""What to change first: by what the prediction would gain."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from support import timed_kernels

from nkisim import Simulator
from nkisim.__main__ import main
from nkisim.report.page.advice import HELP, advise, halved
from nkisim.report.text import RESOURCE_NAMES
from nkisim.timing.critical_path import RESOURCES


@pytest.fixture(scope="module")
def profile():
    return Simulator("trn2").run(timed_kernels.copy_hbm, np.ones((128, 4096), np.float32)).profile


def test_there_is_help_for_every_resource_and_its_constants_exist():
    assert HELP.keys() == RESOURCE_NAMES.keys() == set(RESOURCES)
    for _, names in HELP.values():
        Simulator("trn2").machine.scaled(dict.fromkeys(names, 2.0))
        Simulator("trn3").machine.scaled(dict.fromkeys(names, 2.0))


def test_the_largest_gain_comes_first_and_is_that_of_a_machine_where_it_costs_half(profile):
    found = advise(profile)
    gains = [each.gain_us for each in found]
    assert gains == sorted(gains, reverse=True)
    latency = next(each for each in found if each.resource == "latency")
    assert latency.gain_us == profile.latency_us - profile.what_if({"dma_latency": 0.5}).latency_us > 0
    assert sum(each.share for each in found) > 0.9


def test_the_gain_of_the_top_advice_is_what_the_command_line_predicts(profile, tmp_path):
    top = advise(profile)[0]
    factors = ",".join(f"{name}={factor}" for name, factor in halved(top.resource).items())
    kernel = f"{timed_kernels.__file__}:copy_hbm"
    options = ["--input", "x=128x4096:float32", "--target", "trn2", "--what-if", factors]
    done = CliRunner().invoke(main, ["run", kernel, *options, "--json", str(tmp_path / "a.json")])
    assert done.exit_code == 0, done.output
    document = json.loads((tmp_path / "a.json").read_text())
    *_, together = document["what_if_us"].values()
    assert document["predicted"]["latency_us"] - together == pytest.approx(top.gain_us)


def test_advice_names_the_lines_that_the_time_comes_from(profile):
    assert all("timed_kernels.py" in line.file for each in advise(profile) for line in each.lines)
    assert all(each.lines for each in advise(profile))


def test_there_is_no_advice_for_a_kernel_that_does_nothing():
    assert advise(Simulator("trn2").run(lambda x: x, np.ones((2, 2), np.float32)).profile) == []
