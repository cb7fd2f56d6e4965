"""`nkisim run`, `trace` and `roofline`."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from nkisim.__main__ import main
from nkisim.machine.probes import PROBES

FILE = Path(__file__).resolve().parents[1] / "support" / "timed_kernels.py"
KERNEL = f"{FILE}:every_engine"
INPUTS = ("--input", "x=128x128", "--input", "w=128x128", "--target", "trn2")
KEYS = {"schema_version", "made_by", "kernel", "target", "lnc", "predicted", "what_if_us", "findings", "wall_s"}


def nkisim(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_run_says_how_long_what_bounds_it_and_which_lines():
    result = nkisim("run", KERNEL, *INPUTS)
    assert result.exit_code == 0, result.output
    for words in ("predicted on 1 trn2 core, bound by: ", "Nothing here is measured", "critical path: ", "documented",
                  "timed_kernels.py:", "nc_matmul", "HBM: ", "SBUF peak"):  # fmt: skip
        assert words in result.output


def test_a_module_names_a_kernel_as_a_file_does():
    by_module = nkisim("run", "support.timed_kernels:every_engine", *INPUTS)
    assert by_module.output == nkisim("run", KERNEL, *INPUTS).output


def test_run_writes_everything_it_is_asked_for(tmp_path):
    names = {"--json": "a.json", "--trace": "t.json", "--timeline": "t.png", "--roofline": "r.pdf"}
    options = [word for option, name in names.items() for word in (option, tmp_path / name)]
    result = nkisim("run", KERNEL, *INPUTS, "--lnc", 2, *options)
    assert result.exit_code == 0, result.output
    assert {path.name for path in tmp_path.iterdir()} == set(names.values())
    document = json.loads((tmp_path / "a.json").read_text())
    assert set(document) == KEYS
    assert (document["target"], document["lnc"]) == ("trn2", 2)
    assert document["predicted"]["latency_us"] > 0


def test_what_if_prints_the_base_each_change_and_all_of_them(tmp_path):
    result = nkisim(
        "run", KERNEL, *INPUTS, "--what-if", "act_clock=0.5, sync.semaphore=10", "--json", tmp_path / "a.json"
    )
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "a.json").read_text())
    base, changes = document["predicted"]["latency_us"], document["what_if_us"]
    assert list(changes) == ["act_clock x 0.5", "sync.semaphore x 10", "all of these"]
    assert base < changes["act_clock x 0.5"] < changes["all of these"]
    assert all(name in result.output for name in ("as it is", *changes))


def test_run_prints_the_interval_and_both_orders():
    output = nkisim("run", KERNEL, *INPUTS).output
    headline, orders = output.splitlines()[:2]
    latency, low, high = map(float, re.match(r"([0-9.]+) us \(([0-9.]+) to ([0-9.]+)\) predicted", headline).groups())
    assert low < latency < high
    us = r"[\d.,]+"
    assert re.match(rf"as written {us} us, as a compiler orders it, looking 16 ahead {us}, 32 ahead {us}, 64", orders)


def test_sensitivity_lists_constants_with_what_would_settle_them():
    result = nkisim("run", KERNEL, *INPUTS, "--sensitivity")
    assert result.exit_code == 0, result.output
    header, *rows = result.output.partition("leverage")[2].splitlines()
    assert "constant: what would settle it" in header
    assert 3 < len(rows) <= 12
    for row in rows:
        name = row.split()[6].rstrip(":")
        assert row.endswith(f"{name}: {PROBES[name]}" if name in PROBES else "order: compiler or program")
    assert "leverage" not in nkisim("run", KERNEL, *INPUTS).output


def test_shapes_only_predicts_the_same():
    lines = [nkisim("run", KERNEL, *INPUTS, *more).output for more in ((), ("--no-numerics",))]
    assert lines[0] == lines[1]


def test_trace_and_roofline_have_file_names_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert nkisim("trace", KERNEL, *INPUTS).exit_code == 0
    assert nkisim("roofline", KERNEL, *INPUTS, "--flops", 1e9, "--bytes", 1e6).exit_code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"every_engine.trace.json", "every_engine.roofline.png"}
    assert json.loads((tmp_path / "every_engine.trace.json").read_text())["traceEvents"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", KERNEL), "missing a required argument: 'x'"),
        (("run", f"{FILE}:nothing", *INPUTS), "no attribute 'nothing'"),
        (("run", "no_such_module:kernel"), "No module named 'no_such_module'"),
        (("run", "no/such/file.py:kernel"), "no such file"),
        (("run", "kernel"), "give module:name or file.py:name"),
        (("run", KERNEL, *INPUTS, "--what-if", "hbn=2"), "no constant of the time model; there are hbm,"),
        (("run", KERNEL, *INPUTS, "--what-if", "hbm"), "give NAME=FACTOR"),
        (("run", KERNEL, *INPUTS, "--what-if", "hbm=0"), "positive"),
        (("run", KERNEL, *INPUTS, "--roofline", "r.bmp"), ".png, .svg or .pdf"),
        (("run", KERNEL, *INPUTS, "--trace", "no/such/folder/t.json"), "its folder does not exist"),
        (("roofline", KERNEL, *INPUTS, "--flops", "1"), "--flops and --bytes go together"),
    ],
)
def test_what_cannot_be_done_ends_in_status_2_and_says_why(arguments, said):
    result = nkisim(*arguments)
    assert result.exit_code == 2, result.output
    assert said in " ".join(result.output.split())


def test_a_broken_rule_ends_in_status_1_with_the_kernel_line():
    result = nkisim("run", KERNEL, "--input", "x=128x64", "--input", "w=128x128", "--target", "trn2")
    assert result.exit_code == 1
    assert "timed_kernels.py:" in result.output
    assert "Traceback" not in result.output
