"""Renew docs/performance.md: run each `nkimoe sweep` line of it, and put its rows beneath.

Everything is predicted, nothing is measured on a device. OPTIONS are passed on to each sweep, such as `--jobs 1` or
`--cache DIR`. What is kept is not predicted again, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also when imported as a file

from marked_page import renewed
from sweeps.lines import best_lines, variant_lines
from sweeps.tables import page_lines

from nkisim.report.files import write_whole

PAGE = Path(__file__).resolve().parents[1] / "docs/performance.md"


@click.command(help=(__doc__ or "").replace("\n\n", "\n\n\b\n", 1), context_settings={"ignore_unknown_options": True})
@click.option("--page", type=click.Path(path_type=Path, dir_okay=False, exists=True), default=PAGE)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def main(page: Path, options: tuple[str, ...]) -> None:
    best, variants = ([line.run(options) for line in lines] for lines in (best_lines(), variant_lines()))
    write_whole(page, renewed(page.read_text(encoding="utf-8"), page_lines(best, variants)))
    click.echo(f"wrote {page}")


if __name__ == "__main__":
    main()
