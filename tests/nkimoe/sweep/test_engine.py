"""Where calls run changes nothing of their results, nor does a worker that is lost."""

import operator
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("joblib")

from support.slow_calls import hears_ctrl_c, lose_its_process_once, process_after

from nkimoe.cli.experiment import Setup
from nkimoe.cli.sweep.point import predict
from nkimoe.errors import RequestError
from nkimoe.models import Model
from nkimoe.routing import RoutingRule
from nkimoe.sweep.engine import DaskCluster, Processes, results
from nkisim.machine import load_machine

SMALL = Model(H=128, I=64, E=4, routing=RoutingRule(2), source="made up")
SETUPS = [
    Setup("small", 1, tokens, variant, "trn2", 2, 32, "bf16", "a few words of a text", sizes=SMALL)
    for tokens in (16, 40, 64)
    for variant in ("shard_on_block", "shard_on_i")
]


def test_one_process_and_several_give_each_item_its_result() -> None:
    for count in (1, 2):
        assert dict(results(Processes(count), operator.neg, [3, 1, 2])) == {0: -3, 1: -1, 2: -2}


def test_ctrl_c_is_for_this_process_and_never_for_its_workers() -> None:
    assert dict(results(Processes(2), hears_ctrl_c, [0, 1])) == {0: False, 1: False}
    assert hears_ctrl_c(0)


def test_no_items_have_no_results() -> None:
    assert list(results(Processes(1), operator.neg, [])) == []


def test_a_process_that_ends_is_replaced_and_its_call_made_again(tmp_path: Path) -> None:
    markers = [str(tmp_path / name) for name in ("a", "b")]
    assert dict(results(Processes(2), lose_its_process_once, markers)) == dict(enumerate(markers))


def test_a_call_whose_process_ends_again_and_again_is_given_up(tmp_path: Path) -> None:
    unreachable = str(tmp_path / "x")
    with pytest.raises(RuntimeError, match="1 results are missing"):
        list(results(Processes(2), os._exit, [1])) or unreachable


def test_a_cluster_computes_the_same_bits_also_when_a_worker_is_killed(cluster: Any) -> None:
    function = partial(predict, {"trn2": load_machine("trn2").with_value("dma.rate", 20.0)})
    here = dict(results(Processes(1), function, SETUPS))
    assert all(outcome.prediction for outcome in here.values())
    there: dict[int, Any] = {}
    for number, outcome in results(DaskCluster(cluster.scheduler_address), function, SETUPS):
        if not there:
            os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
        there[number] = outcome
    assert there == here


def test_both_workers_of_a_cluster_work(cluster: Any) -> None:
    cluster.wait_for_workers(2, timeout=60)  # one may just have been killed
    pids = {pid for _, pid in results(DaskCluster(cluster.scheduler_address), process_after, [0.2] * 6)}
    assert os.getpid() not in pids
    assert len(pids) == 2


def test_a_single_worker_makes_the_calls_and_not_this_process(cluster: Any) -> None:
    cluster.scale(1)
    ((_, pid),) = results(DaskCluster(cluster.scheduler_address), process_after, [0.0])
    assert pid != os.getpid()


def test_a_scheduler_that_does_not_answer_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("nkimoe.sweep.engine.PATIENCE_S", 0.3)
    with pytest.raises(RequestError, match="scheduler: answers"):
        list(results(DaskCluster("tcp://127.0.0.1:9"), operator.neg, [1]))
