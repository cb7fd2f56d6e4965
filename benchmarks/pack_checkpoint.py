"""How much memory and time `nkimoe pack` takes for a large checkpoint: makes one shaped as gpt-oss-120b, and packs it.

The checkpoint has random MXFP4 blocks, one file a layer (1.7 GB). It is packed by a process of its own, as a user
would, whose memory is sampled. "anonymous" is what the process itself holds; "resident" also counts pages of the files
it has mapped, which the system takes back when it needs them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import ml_dtypes
import numpy as np

from nkimoe.models import MODELS
from nkimoe.weights.checkpoint import INDEX
from nkimoe.weights.safetensors_file import create_file

MODEL = MODELS["gpt-oss-120b"]
BLOCK, BYTES = 32, 16  # values of a block, and bytes of their codes
SAMPLES_A_SECOND = 5


@click.command(help=__doc__)
@click.option("--layers", default=12, show_default=True, type=click.IntRange(1), help="12 are 20 GB.")
@click.option("--weights", default="mxfp4-blocks", show_default=True, help="As of nkimoe pack.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="Where there is room for both.")
def main(layers: int, weights: str, folder: Path | None) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        source, target = Path(scratch) / "checkpoint", Path(scratch) / "packed"
        started = time.perf_counter()
        size = make_checkpoint(source, layers)
        click.echo(f"made {size / 1e9:.1f} GB in {layers} files, {time.perf_counter() - started:.0f} s")
        started = time.perf_counter()
        peaks = pack(source, target, weights)
        seconds = time.perf_counter() - started
        written = sum(file.stat().st_size for file in target.iterdir())
        click.echo(f"packed as {weights}: {written / 1e9:.1f} GB, {seconds:.0f} s, {size / seconds / 1e6:.0f} MB/s")
        click.echo("peak memory: " + ", ".join(f"{name} {peak / 1e6:.2f} GB" for name, peak in peaks.items()))


def make_checkpoint(folder: Path, layers: int) -> int:
    """Write it; returns its bytes."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    weight_map: dict[str, str] = {}
    for layer in range(layers):
        file = f"model-{layer:05d}-of-{layers:05d}.safetensors"
        tensors = create_file(folder / file, layer_tensors(layer), {})
        for name, tensor in tensors.items():
            one = rng.integers(0, 255, tensor[0].shape, np.uint8) if tensor.dtype == np.uint8 else tensor[0] * 0
            for e in range(len(tensor)):
                tensor[e] = 100 + one % 30 if name.endswith("_scales") else one
            weight_map[name] = file
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}), "utf-8")
    return sum(path.stat().st_size for path in folder.iterdir())


def layer_tensors(layer: int) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    """Types and shapes of the experts' tensors, as gpt-oss stores them."""
    E, H, I = MODEL.E, MODEL.H, MODEL.I
    byte, bf16, sizes = np.dtype(np.uint8), np.dtype(ml_dtypes.bfloat16), {}
    for name, columns, rows in (("gate_up_proj", 2 * I, H), ("down_proj", H, I)):
        sizes[f"{name}_blocks"] = byte, (E, columns, rows // BLOCK, BYTES)
        sizes[f"{name}_scales"] = byte, (E, columns, rows // BLOCK)
        sizes[f"{name}_bias"] = bf16, (E, columns)
    return {f"model.layers.{layer}.mlp.experts.{name}": size for name, size in sizes.items()}


def pack(source: Path, target: Path, weights: str) -> dict[str, float]:
    """Run the command; returns the largest memory seen, in kB."""
    command = [sys.executable, "-m", "nkimoe.cli.main", "pack", str(source), str(target), "--weights", weights]
    peaks = {"anonymous": 0.0, "resident": 0.0}
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            for name, field in (("anonymous", "RssAnon"), ("resident", "VmRSS")):
                peaks[name] = max(peaks[name], _status(process.pid).get(field, 0.0))
            time.sleep(1 / SAMPLES_A_SECOND)
    if process.returncode:
        raise click.ClickException(f"nkimoe pack ended with status {process.returncode}")
    return peaks


def _status(pid: int) -> dict[str, float]:
    """Memory of a process, in kB, by the names of Linux; empty once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    except OSError:
        return {}
    return {line.split(":")[0]: float(line.split()[1]) for line in lines if line.endswith(" kB")}


if __name__ == "__main__":
    main()
