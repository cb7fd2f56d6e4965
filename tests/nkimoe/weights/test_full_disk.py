"""A full disk: one error with the bytes needed and free, nothing published, and the next run goes on."""

import errno
import os
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from support.stored_checkpoints import bf16_experts, describe, store, with_routers

from nkimoe import RequestError
from nkimoe.weights import Plain, pack_checkpoint
from nkimoe.weights.safetensors_file import create_file

E, H, I = 4, 128, 96
A_LAYER = 3 * E * H * I * 2  # bytes


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    tensors = bf16_experts(range(2), E, H, I)
    return describe(store(tmp_path / "checkpoint", with_routers(tensors, E, H)), E)


def full_after(monkeypatch: pytest.MonkeyPatch, files: int, code: int = errno.ENOSPC) -> None:
    """From that file on the disk has no room."""
    allocate, made = os.posix_fallocate, []

    def try_it(descriptor: int, offset: int, size: int) -> None:
        made.append(size)
        if len(made) > files:
            raise OSError(code, os.strerror(code))
        allocate(descriptor, offset, size)

    monkeypatch.setattr(os, "posix_fallocate", try_it)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_an_error_with_bytes_and_the_next_run_goes_on(checkpoint, tmp_path, monkeypatch, code):
    with monkeypatch.context() as full:
        full_after(full, 1, code)
        with pytest.raises(RequestError, match=r"has room for the [\d,]+ bytes of layer.*[\d,]+ bytes free") as caught:
            pack_checkpoint(checkpoint, tmp_path / "packed", Plain())
    assert int(caught.value.rule.split()[4].replace(",", "")) > A_LAYER
    assert sorted(os.listdir(tmp_path)) == ["checkpoint", "packed.partial"]
    assert sorted(os.listdir(tmp_path / "packed.partial")) == ["layer-00000.safetensors", "run.json"]
    seen = []
    files = pack_checkpoint(checkpoint, tmp_path / "packed", Plain(), progress=lambda *step: seen.append(step))
    assert seen[0] == (E + 1, 2 * E)
    alone = pack_checkpoint(checkpoint, tmp_path / "alone", Plain())
    assert [file.read_bytes() for file in files] == [file.read_bytes() for file in alone]


def test_other_errors_of_the_disk_stay_what_they_are(tmp_path, monkeypatch):
    full_after(monkeypatch, 0, errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        create_file(tmp_path / "f", {"a": (np.dtype(np.uint8), (9,))}, {})
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EINVAL, None])
def test_filesystems_that_cannot_reserve_are_written_with_zeros(tmp_path, monkeypatch, code):
    if code is None:
        monkeypatch.delattr(os, "posix_fallocate")
    else:
        full_after(monkeypatch, 0, code)
    size = (1 << 24) + 5
    views = create_file(tmp_path / "f", {"a": (np.dtype(np.uint8), (size,))}, {})
    assert not views["a"].any()
    assert (tmp_path / "f").stat().st_blocks * 512 >= size


def test_reserved_files_have_no_holes(tmp_path):
    create_file(tmp_path / "f", {"a": (np.dtype(np.uint8), (1 << 20,))}, {})
    assert (tmp_path / "f").stat().st_blocks * 512 >= 1 << 20


def test_a_process_that_may_write_no_more_ends_with_the_error_and_no_signal(checkpoint, tmp_path):
    script = """
        import resource, sys
        from nkimoe.weights import Plain, pack_checkpoint
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
        pack_checkpoint(sys.argv[1], sys.argv[2], Plain())
    """
    arguments = [sys.executable, "-c", textwrap.dedent(script), checkpoint, tmp_path / "packed", str(A_LAYER // 2)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(arguments, env=environment, check=False, capture_output=True, text=True)
    assert ended.returncode == 1, ended
    assert "has room for the" in ended.stderr
    assert not (tmp_path / "packed").exists()
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
