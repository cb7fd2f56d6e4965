"""Predicted time of aiter's operations on Trainium, with the names, options and columns of aiter's benchmarks.

    python benchmarks/bench_ops.py [BENCH ...] [--model NAME] [-M TOKENS] [-o] [--json FILE]

BENCH is moe (the default), moe_e2e, moe_align_block_size or moe_routing_sigmoid_top1_fused. Nothing is measured on a
device. TFLOPS and Bandwidth_(GB/s) count as aiter does; the columns behind them as this library: what must be computed
and must move, once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also when imported as a file

from ops.gemm import DTYPES, FP8_TYPES, GemmBench
from ops.layers import ALL, layers
from ops.outcome import BANDWIDTH, INPUTS, OURS, TFLOPS, TIME, Device
from ops.report import as_csv, as_json, as_lines
from ops.routing import AlignBench, SigmoidBench
from ops.whole_layer import LayerBench

from nkimoe.cli.json_report import write_json
from nkimoe.cli.refusals import refusals
from nkimoe.errors import require
from nkimoe.ops.expert_arguments import INT8_W8A8, UNQUANT
from nkimoe.ops.gemm_quantisation import FP8_W8A8, INT4_W4A16, INT8_W8A16
from nkimoe.planning.targets import TARGETS
from nkisim.report.files import write_whole
from nkisim.timing import CLOCK

SCHEMA = {
    "moe": (INPUTS, (TIME, TFLOPS, BANDWIDTH)),
    "moe_e2e": (INPUTS, (TIME, TFLOPS, BANDWIDTH)),
    "moe_align_block_size": (INPUTS, (TIME, BANDWIDTH)),
    "moe_routing_sigmoid_top1_fused": (("M", "N", "K"), (TIME, TFLOPS, BANDWIDTH)),
}
"""Inputs and outputs of each benchmark in aiter's schema."""
QUANTISED = (INT8_W8A16, INT8_W8A8, FP8_W8A8, INT4_W4A16)


@click.command(help=(__doc__ or "").replace("\n\n", "\n\n\b\n", 1))
@click.argument("benches", nargs=-1, type=click.Choice(list(SCHEMA)))
@click.option("-model_configs", type=click.Path(path_type=Path, exists=True), help="Models in aiter's JSON form.")
@click.option("--model", default=ALL, show_default=True, help="Names, commas between them.")
@click.option("-M", "tokens", type=click.IntRange(1), multiple=True, default=[4096], show_default=True)
@click.option("-group_size", type=click.IntRange(2), help="Rows of int4 weights with one scale.")
@click.option("-routed_weight", is_flag=True, help="Results are multiplied by the weights of their pairs.")
@click.option("-int8_w8a16", is_flag=True)
@click.option("-int8_w8a8", is_flag=True, help="Not of aiter's.")
@click.option("-fp8_w8a8", is_flag=True)
@click.option("-int4_w4a16", is_flag=True)
@click.option("-has_zp", is_flag=True, help="int4 with zero points.")
@click.option("-print_time", is_flag=True, help="No other columns than the time.")
@click.option("-no_bench_stage2", is_flag=True, help="Leave out the second stage of moe.")
@click.option("-dtype", type=click.Choice(list(DTYPES)), default="fp16", show_default=True)
@click.option("-fp8_type", type=click.Choice(list(FP8_TYPES)), default="e4m3", show_default=True)
@click.option("-silu_fused", is_flag=True, help="The first stage of moe ends with SiLU.")
@click.option("-block_size", type=click.IntRange(1), default=128, show_default=True, help="Of moe_align_block_size.")
@click.option("--target", type=click.Choice(list(TARGETS)), default="trn2", show_default=True)
@click.option("--lnc", type=click.Choice(["1", "2"]), default="2", show_default=True, help="NeuronCores.")
@click.option("-o", "writes", is_flag=True, help="Write bench_BENCH.csv.")
@click.option("--json", "json", type=click.Path(path_type=Path, dir_okay=False), help="Write all rows for scripts.")
def main(benches: tuple[str, ...], print_time: bool, writes: bool, json: Path | None, **options: Any) -> None:
    device = Device(options["target"], int(options["lnc"]))
    with refusals():
        found = {name: _rows(name, device, options) for name in benches or ("moe",)}
        for name, rows in found.items():
            inputs, outputs = SCHEMA[name]
            click.echo(f"{name}: predicted, not measured; {device.lnc} {device.target} core(s), clock {CLOCK}")
            click.echo("\n".join(as_lines(rows, (*inputs, TIME) if print_time else (*inputs, *outputs, *OURS))))
            if writes:
                write_whole(f"bench_{name}.csv", as_csv(rows))
        if json is not None:
            write_json(json, as_json(found, f"{device.lnc} {device.target} core(s)"))


def _rows(name: str, device: Device, options: dict[str, Any]) -> list[dict[str, Any]]:
    """Inputs and outputs of a benchmark."""
    outputs = (*SCHEMA[name][1], *OURS)
    bench, rows = _bench(name, device, options), []
    for layer in layers(options["model"], options["model_configs"]):
        for M in options["tokens"]:
            for row in bench.rows(layer, M):
                click.echo(f"{name} {dict(row.inputs)}", err=True)
                columns = row.find().columns()
                rows.append({**row.inputs, **{column: columns[column] for column in outputs}})
    return rows


def _bench(name: str, device: Device, options: dict[str, Any]) -> GemmBench | LayerBench | AlignBench | SigmoidBench:
    if name == "moe_e2e":
        return LayerBench(device, options["dtype"])
    if name == "moe_align_block_size":
        return AlignBench(device, options["block_size"])
    if name == "moe_routing_sigmoid_top1_fused":
        return SigmoidBench(device, options["dtype"])
    asked = [quantization for quantization in QUANTISED if options[quantization]]
    require(len(asked) < 2, f"-{asked[-1] if asked else ''}", "comes alone", ", ".join(asked), "Pick one.")
    return GemmBench(
        device, asked[0] if asked else UNQUANT, options["dtype"], options["fp8_type"], options["group_size"],
        options["has_zp"], options["routed_weight"], options["silu_fused"], not options["no_bench_stage2"],
    )  # fmt: skip


if __name__ == "__main__":
    main()
