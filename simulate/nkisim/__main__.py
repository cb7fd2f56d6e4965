"""`python -m nkisim`: run, trace, draw and lint kernels."""

from __future__ import annotations

import click

from nkisim.lint_command import lint
from nkisim.run_commands import roofline, run, trace


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """nkisim, a simulator of AWS's Neuron Kernel Interface."""


for command in (run, trace, roofline, lint):
    main.add_command(command)

if __name__ == "__main__":
    main(prog_name="python -m nkisim")
