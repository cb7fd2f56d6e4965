"""Run one compiled kernel on a NeuronCore, with the inputs it was compiled for. For nrtpy's environment.

It needs NumPy and nrtpy only, so that nothing of this project need be installed there.
"""

import argparse
import json
from pathlib import Path

import numpy as np


def inputs_of(folder, model):
    """Tensors on the device, by the names of the model.

    Names of the kernel's arguments are taken where the model has them; otherwise the order is.
    """
    from nrtpy import NrtpyTensor

    names = json.loads((folder / "names.json").read_text("utf-8"))
    wanted = list(model.input_tensors_info)
    if len(wanted) != len(names):
        raise SystemExit(f"the model takes {wanted}, the inputs are {names}")
    matched = names if set(names) == set(wanted) else wanted
    arrays = [np.load(folder / f"{n}.npy") for n in range(len(names))]
    return {name: NrtpyTensor.from_numpy(array, name=name) for name, array in zip(matched, arrays, strict=True)}


def main():
    """`run_on_device.py run|time|trace NEFF --inputs DIR --out FILE`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["run", "time", "trace"])
    parser.add_argument("neff", type=Path)
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--runs", type=int, default=100)
    options = parser.parse_args()
    from nrtpy import NrtpyModel

    model = NrtpyModel.load_from_neff(options.neff)
    inputs = inputs_of(options.inputs, model)
    if options.what == "time":
        found = model.benchmark(inputs, warmup_iter=options.warmup, benchmark_iter=options.runs, mode="device")
        fields = ("mean_ms", "min_ms", "max_ms", "std_dev_ms", "iterations", "warmup_iterations", "durations_ms")
        options.out.write_text(json.dumps({name: getattr(found, name, None) for name in fields}), "utf-8")
    elif options.what == "trace":
        model(inputs, save_trace=True, ntff_name=str(options.out))
    else:
        outputs = list(model(inputs).values())
        options.out.mkdir(parents=True, exist_ok=True)
        for n, output in enumerate(outputs):
            array = output.numpy()
            (options.out / f"{n}.json").write_text(json.dumps({"shape": array.shape, "dtype": str(array.dtype)}))
            array.tofile(options.out / f"{n}.bin")


if __name__ == "__main__":
    main()
