# SPDX-License-Identifier: Apache-2.0
"""The files a run leaves behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import click

from nkimoe.cli.experiment import Result
from nkimoe.cli.json_report import as_json, write_json
from nkimoe.cli.report import subject_of
from nkisim.report.files import check_writable
from nkisim.report.page import check_page
from nkisim.report.pictures import PictureError, check_picture


@dataclass(frozen=True)
class Outputs:
    """Where to write what; None: nowhere.

    Attributes:
        json: the result for scripts.
        trace: the predicted timeline for Perfetto.
        timeline, roofline: pictures.
        html: a page of everything.
        missing: why there are no pictures and no page, if somebody should know.
    """

    NAMES: ClassVar = ("json", "trace", "timeline", "roofline", "html")

    json: Path | None = None
    trace: Path | None = None
    timeline: Path | None = None
    roofline: Path | None = None
    html: Path | None = None
    missing: str | None = None

    @classmethod
    def checked(cls, **paths: Path | None) -> Outputs:
        """The files asked for.

        Raises:
            click.UsageError: one of them cannot be written, before any work is done.
        """
        for name, path in paths.items():
            try:
                if path is not None:
                    check_writable(path)
                    if name in ("timeline", "roofline"):
                        check_picture(path)
                    if name == "html":
                        check_page()
            except (OSError, PictureError) as error:
                raise click.UsageError(f"--{name} {error}") from None
        return cls(**paths)  # type: ignore[arg-type] # NAMES leave `missing` out

    @classmethod
    def in_folder(cls, folder: Path) -> Outputs:
        """All files in `folder`, which is made; no pictures and no page where matplotlib or bokeh is not installed.

        Raises:
            click.UsageError: the folder cannot be made or written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise click.UsageError(f"{folder}: {error.strerror}") from None
        files = {"json": folder / "result.json", "trace": folder / "trace.json"}
        drawn = {name: folder / f"{name}.png" for name in ("timeline", "roofline")} | {"html": folder / "report.html"}
        try:
            check_picture(drawn["roofline"])
            check_page()
        except PictureError as error:
            return replace(cls.checked(**files), missing=f"no pictures and no page: {error}")
        return cls.checked(**files, **drawn)

    def write(self, result: Result, changes: Mapping[str, float]) -> Iterator[str]:
        """Write all of them, each as a whole; yields a line about each for people."""
        profile = result.run.profile
        if self.json is not None:
            write_json(self.json, as_json(result, changes))
            yield f"wrote {self.json}"
        if self.trace is not None:
            profile.save_perfetto(self.trace)
            yield f"wrote {self.trace}: open it in ui.perfetto.dev"
        if self.timeline is not None:
            profile.save_timeline(self.timeline)
            yield f"wrote {self.timeline}"
        if self.roofline is not None:
            profile.save_roofline(self.roofline, result.roofline.work, result.roofline.peaks)
            yield f"wrote {self.roofline}"
        if self.html is not None:
            result.run.save_page(self.html, subject_of(result))
            yield f"wrote {self.html}"
        if self.missing is not None:
            yield self.missing
