"""Compile one case in a process of its own: what imports `nki` first decides what the compiler is told."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import click

import nkimoe
from on_device.case import KernelCall
from on_device.cases import cases_of
from on_device.fields import write_json

NATIVE = "biufc"  # kinds of NumPy's own types


@click.command()
@click.argument("name")
@click.option("--target", required=True)
@click.option("--inputs", type=click.Path(path_type=Path), required=True, help="Folder for the inputs.")
@click.option("--nkilib", type=click.Path(path_type=Path))
def main(name: str, target: str, inputs: Path, nkilib: Path | None) -> None:
    """Make the inputs of the case NAME, keep them, and call the kernel, which compiles it.

    That the kernel cannot be run here is no failure if the compiler has left its NEFF in NKI_ARTIFACTS_DIR.
    """
    case = cases_of(target, [name], nkilib)[name]
    call = case.call()
    save(call, inputs)
    click.echo(f"toolchain: {nkimoe.TOOLCHAIN} {getattr(sys.modules.get('nki'), '__version__', '')}")
    try:
        call.launched_on(case.cores)
    except Exception:
        traceback.print_exc()
    neff = Path(os.environ["NKI_ARTIFACTS_DIR"]) / "kernel.neff"
    sys.exit(0 if neff.exists() else 1)


def save(call: KernelCall, folder: Path) -> None:
    """The tensors as 0.npy and so on, with their names; types that NumPy lacks as unsigned integers of their width."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for n, (name, array) in enumerate(call.arrays()):
        names.append(name)
        plain = array if array.dtype.kind in NATIVE else array.view(f"u{array.dtype.itemsize}")
        np.save(folder / f"{n}.npy", np.ascontiguousarray(plain), allow_pickle=False)
    write_json(folder / "names.json", names)


if __name__ == "__main__":
    main()
