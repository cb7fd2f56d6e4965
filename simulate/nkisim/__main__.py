# SPDX-License-Identifier: Apache-2.0
"""`nkisim`, or `python -m nkisim`: run, trace, draw and lint kernels, fit machine files, and run scripts."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import click

from nkisim.command_help import OneLineGroup, SectionedCommand, examples, version_option
from nkisim.diff_command import diff
from nkisim.fit_command import fit_command
from nkisim.install import install
from nkisim.lint_command import lint
from nkisim.migrate_command import migrate
from nkisim.prove_command import prove
from nkisim.run_commands import report, roofline, run, trace


@click.group(cls=OneLineGroup, context_settings={"help_option_names": ["-h", "--help"]})
@version_option("nkisim")
def main() -> None:
    """nkisim, a simulator of AWS's Neuron Kernel Interface."""


@main.command(
    cls=SectionedCommand,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog=examples(
        "nkisim script my_script.py --its-own=option", "NEURON_PLATFORM_TARGET_OVERRIDE=trn2 nkisim script x.py"
    ),
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def script(file: Path, arguments: tuple[str, ...]) -> None:
    """Run a Python FILE with `import nki` meaning the simulator, and its ARGUMENTS."""
    install()
    sys.argv = [str(file), *arguments]
    sys.path.insert(0, str(file.resolve().parent))
    runpy.run_path(str(file), run_name="__main__")


for command in (run, trace, roofline, report, diff, lint, migrate, prove, fit_command):
    main.add_command(command)

if __name__ == "__main__":
    main(prog_name="nkisim")
