"""Packing on processes and clusters writes the same bits as packing here, also when a worker is lost."""

import os
import signal
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("joblib")

from support.stored_checkpoints import bf16_experts, describe, store, with_routers

from nkimoe import RequestError
from nkimoe.sweep.engine import DaskCluster, Processes, results
from nkimoe.weights import Plain, Shard, pack_checkpoint, packing_named
from nkimoe.weights.layer_packing import Calls, Failure, LayerPacking
from nkimoe.weights.packing import Progress

E, H, I, LAYERS = 2, 64, 96, range(4)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    tensors = bf16_experts(LAYERS, E, H, I)
    return describe(store(tmp_path / "checkpoint", with_routers(tensors, E, H)), E)


def bits(files: Sequence[Path]) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in files}


def test_processes_write_the_same_bits_and_count_experts(checkpoint: Path, tmp_path: Path) -> None:
    here = pack_checkpoint(checkpoint, tmp_path / "here", packing_named("fp8-row"), Shard(2, 1))
    seen: list[tuple[int, int]] = []
    there = pack_checkpoint(
        checkpoint, tmp_path / "there", packing_named("fp8-row"), Shard(2, 1),
        progress=lambda *step: seen.append(step), spread=partial(results, Processes(2)),
    )  # fmt: skip
    assert bits(there) == bits(here)
    assert sorted(os.listdir(tmp_path / "there")) == sorted(bits(here))
    assert seen == [(done, 8) for done in (2, 4, 6, 8)]


def test_a_failure_of_a_layer_is_raised_and_layers_that_are_done_stay(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = LayerPacking.pack

    def pack(self: LayerPacking, progress: Progress | None = None) -> None:
        if self.layer == 2:
            raise RequestError("target", "has room", "none", "Make some.")
        whole(self, progress)

    monkeypatch.setattr(LayerPacking, "pack", pack)
    with pytest.raises(RequestError, match="has room"):
        pack_checkpoint(checkpoint, tmp_path / "out", Plain(), spread=partial(results, Processes(1)))
    assert (tmp_path / "out.partial" / "layer-00001.safetensors").exists()
    assert not (tmp_path / "out").exists()


def test_a_cluster_writes_the_same_bits_also_when_a_worker_is_killed(
    checkpoint: Path, tmp_path: Path, cluster: Any
) -> None:
    def killing(calls: Calls, jobs: Sequence[LayerPacking]) -> Iterator[tuple[int, Failure | None]]:
        for count, found in enumerate(results(DaskCluster(cluster.scheduler_address), calls, jobs)):
            if not count:
                os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
            yield found

    here = pack_checkpoint(checkpoint, tmp_path / "here", Plain())
    assert bits(pack_checkpoint(checkpoint, tmp_path / "there", Plain(), spread=killing)) == bits(here)
    assert sorted(os.listdir(tmp_path / "there")) == sorted(bits(here))
