"""How fast nkisim simulates, in one run.

layers          nkisim against the NumPy reference on MoE layers, and the ratio
shapes-only     nkisim without numerics on larger layers
profile         where nkisim's time goes on the demo layer
equal-kernels   the same tiled matmuls on nkisim, the Triton interpreter and JAX Pallas in interpret mode

Every number is wall time, or processor time where it says CPU, on the computer that runs this: never device time.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from speed.tables import show
from speed.threads import limit_threads

SECTIONS = ("layers", "shapes-only", "profile", "equal-kernels")
TARGET_RATIO = 3.0
SCHEMA_VERSION = 1


@click.command(help=(__doc__ or "").replace("\n\n", "\n\n\b\n", 1))
@click.option("--quick", is_flag=True, help="Small sizes, one repeat; under a minute.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write all numbers.")
@click.option("--only", type=click.Choice(SECTIONS), multiple=True, help="Leave the other sections out.")
@click.option("--repeats", type=click.IntRange(1), help="Calls after the warm-up.  [default: 3, with --quick 1]")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="For BLAS, torch and XLA.")
def main(quick: bool, json_file: Path | None, only: tuple[str, ...], repeats: int | None, threads: int) -> None:
    if json_file is not None and not json_file.resolve().parent.is_dir():
        raise click.UsageError(f"--json {json_file}: no such folder.")
    repeats = repeats or (1 if quick else 3)
    report = measure(quick, only or SECTIONS, repeats, threads)
    if json_file is not None:
        write_json(json_file, report)
    show(report, Console(width=None if sys.stdout.isatty() else 140))
    if json_file is not None:
        click.echo(f"wrote {json_file}")
    sys.exit(0 if all_correct(report) else 1)


def measure(quick: bool, sections: tuple[str, ...], repeats: int, threads: int) -> dict[str, Any]:
    """All sections asked for. Their modules are imported here: the thread count comes before anything loads a BLAS."""
    limit_threads(threads)
    from speed.environment import header

    from nkimoe.cli.layer_data import SEED

    report: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "quick": quick,
        "repeats": repeats,
        "target_ratio": TARGET_RATIO,
        "header": header(threads, SEED),
    }
    if "layers" in sections:
        from speed import layers

        report["layers"] = [layers.measure(case, repeats, say) for case in (layers.QUICK if quick else layers.FULL)]
    if "shapes-only" in sections:
        from speed import shapes_only

        report["shapes_only"] = [shapes_only.measure(case, repeats, say) for case in shapes_only.CASES[quick]]
    if "profile" in sections:
        report["profile"] = profile(quick)
    if "equal-kernels" in sections:
        from speed import side_by_side

        report["equal_kernels"] = side_by_side.measure(quick, repeats, SEED, say)
    return report


def profile(quick: bool) -> dict[str, Any]:
    """The demo layer on one core, so that one thread has the whole call stack."""
    from speed import layers
    from speed.breakdown import break_down
    from speed.timing import timed

    case = layers.QUICK[0] if quick else layers.DEMO
    name = f"{case.name}, {case.tokens} tokens, blocks of {case.block_size}"
    say(f"profile: {name}")
    data = case.draw()
    run: Callable[[], Any] = lambda: layers.simulate(case, data.tensors, cores=1)  # noqa: E731
    shapes = layers.MatmulShapes()
    layers.simulate(case, data.tensors, 1, (shapes,))
    wall, processor, _ = timed(run)
    bare = timed(shapes.multiply)[1]
    times = {"unprofiled_s": wall, "unprofiled_processor_s": processor, "bare_matmuls_processor_s": bare}
    return {"layer": name, **times, **break_down(run)}


def all_correct(report: dict[str, Any]) -> bool:
    """Whether every result that was compared agreed."""
    systems = [row for task in report.get("equal_kernels", {}).get("tasks", ()) for row in task["systems"].values()]
    return all(row["correct"] for row in (*report.get("layers", ()), *systems))


def write_json(file: Path, report: dict[str, Any]) -> None:
    """Write all of it or nothing."""
    from nkisim.report.files import write_whole

    write_whole(file, json.dumps(report, indent=2) + "\n")


def say(text: str) -> None:
    """Progress, on standard error."""
    click.echo(text, err=True)


if __name__ == "__main__":
    main()
