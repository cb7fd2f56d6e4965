"""`python -m fuzz`: its short run, and what it does where a case fails, hangs or ends its process."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.case import Case
from support.failing_cases import dies, hangs, raises
from support.launch import Outcome, bounds_of

from fuzz import interrupts, requests
from fuzz.__main__ import Campaign
from fuzz.kinds import KINDS, Kind, generator, kind_named

ROOT = Path(__file__).resolve().parents[2]
SHORT = {"forward": 6, "forward_mx": 4, "backward": 4, "grouped_gemm": 10, "experts_int8": 8, "arguments": 60,
         "packed_files": 60, "checkpoints": 60, "interrupts": 1}  # fmt: skip


@pytest.mark.parametrize("name", SHORT)
def test_a_short_run_finds_nothing(name, tmp_path):
    for number in range(SHORT[name]):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert kind_named(name).run(generator(1, name, number), folder) in ("right", "refused", "interrupted")


@pytest.mark.parametrize("tokens", [7, 8])
def test_a_result_is_held_to_the_average_where_there_are_tokens_enough_for_one(tokens):
    case = Case(T=tokens, K=2)
    bounds = bounds_of(case)
    expected = np.ones((tokens, 128), np.float32)
    for far, is_right in ((bounds.rel_l2, True), (bounds.worst_row, tokens < 8), (2 * bounds.worst_row, False)):
        outcome = Outcome(case, {}, expected * np.float32(1 + 0.99 * far), [], None)
        with contextlib.nullcontext() if is_right else pytest.raises(AssertionError):
            requests.judge(outcome, expected)


def test_every_kind_has_a_short_run():
    assert {kind.name for kind in KINDS} == {"kernels", *SHORT}


def test_a_fuzz_in_the_background_where_ctrl_c_is_ignored_interrupts_all_the_same(monkeypatch, tmp_path):
    monkeypatch.setattr(interrupts, "COMMANDS", {"sweep": interrupts.COMMANDS["sweep"]})
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert interrupts.interrupted(generator(1, "interrupts", 0), tmp_path) == "interrupted"
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture
def campaign(tmp_path):
    made = Campaign([kind_named("kernels")], 7, tmp_path)
    yield made
    made.close()


def test_folders_of_cases_that_are_right_go_away(campaign, tmp_path, capsys):
    campaign.until(0.5)
    assert not campaign.failures
    assert not os.listdir(tmp_path)
    assert "kernels" in campaign.counts()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("case", "said"),
    [(hangs, "took more than 0.5 s"), (dies, "the process died"), (raises, "ValueError: of the library")],
    ids=["hangs", "dies", "raises"],
)
def test_a_failure_is_named_kept_and_survived(tmp_path, capsys, case, said):
    kind = Kind("planted", case, seconds=0.5)
    made = Campaign([kind], 7, tmp_path)
    try:
        made.one(kind, 12)
        assert f"FAILED planted --seed 7 --case 12: {said}" in capsys.readouterr().out
        assert said in (tmp_path / "planted-7-12" / "failure.txt").read_text()
        made.one(kind_named("kernels"), 13)
        assert made.failures == [tmp_path / "planted-7-12"]
    finally:
        made.close()


def test_what_a_stopped_run_left_behind_is_no_obstacle(campaign, tmp_path):
    left = tmp_path / "kernels-7-0"
    left.mkdir()
    (left / "half.txt").write_text("")
    campaign.one(kind_named("kernels"), 0)
    assert not campaign.failures
    assert not left.exists()


def command(*arguments):
    path = os.pathsep.join(str(ROOT / part) for part in ("tests", ".", "simulate"))
    made = [sys.executable, "-m", "fuzz", *arguments]
    return subprocess.run(made, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)


def test_one_case_by_its_number_and_the_seed_is_printed(tmp_path):
    done = command("--seed", "3", "--kind", "kernels", "--case", "8", "--keep", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "seed 3"
    assert "kernels 1 (" in done.stdout
    assert "0 failed" in done.stdout


def test_a_number_without_a_seed_is_no_case():
    assert "--case needs --seed and one --kind" in command("--case", "8").stderr
