# SPDX-License-Identifier: Apache-2.0
"""How commands present themselves: options in sections, examples, and what was meant by a name that does not exist."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from typing import Any

import click

from nkisim.report.origin import installed_version

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
_HYPHEN = "\0"  # one within a name, where no line may end: what is broken cannot be pasted
_CHOICES = re.compile(r"\[([^\[\]]*\|[^\[\]]*)\]")


class SectionOption(click.Option):
    """An option of a section of the help.

    Args:
        section: its title.
    """

    def __init__(self, *names: Any, section: str, **attributes: Any) -> None:
        super().__init__(*names, **attributes)
        self.section = section


class SectionedCommand(click.Command):
    """A command whose help lists options under the titles of their sections, and those of none at the end."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in sorted(self.get_params(ctx), key=lambda each: not isinstance(each, SectionOption)):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                title = param.section if isinstance(param, SectionOption) else "Options"
                sections.setdefault(title, []).append(_within(formatter.width, *record))
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)
        formatter.buffer[:] = [text.replace(_HYPHEN, "-") for text in formatter.buffer]


def _within(width: int, names: str, text: str) -> tuple[str, str]:
    """An option and its help; choices that would fill the line stand in the help, which is wrapped."""
    choices = _CHOICES.search(names)
    if choices is None or len(names) <= width // 2:
        return names, text
    told = choices[1].replace("|", ", ").replace("-", _HYPHEN)
    return names.replace(choices[0], "NAME"), f"{text} One of {told}."


class OneLineGroup(click.Group):
    """Commands whose refusals of what they were given are one line on standard error; exit status 2."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        with _in_one_line(str(info_name)):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _in_one_line(ctx.command_path):
            return super().invoke(ctx)


class _Refusal(click.ClickException):
    """Shown as one line, without the usage that a UsageError shows before it."""

    exit_code = click.UsageError.exit_code


@contextmanager
def _in_one_line(command: str) -> Iterator[None]:
    try:
        yield
    except click.UsageError as error:
        message = " ".join(error.format_message().split())
        where = error.ctx.command_path if error.ctx is not None else command
        raise _Refusal(f"{message} ({where} -h shows the options.)") from None


class Amount(click.FloatRange):
    """A number in a range that is neither NaN nor infinite."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


class OneOf(click.Choice):
    """A choice whose refusal says what was probably meant."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            self.fail(error.message + meant(str(value), map(str, self.choices)), param, ctx)


def section(title: str) -> Callable[..., Decorator]:
    """`click.option` for options of that section."""
    return partial(click.option, cls=SectionOption, section=title)


def examples(*lines: str) -> str:
    """Lines to try, as the end of a command's help."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def meant(name: str, known: Iterable[str]) -> str:
    """ " Did you mean ...?" with the known names that are nearest to one that is not; empty if none is near."""
    near = get_close_matches(name, list(known), n=3)
    return f" Did you mean {' or '.join(near)}?" if near else ""


def version_option(name: str) -> Decorator:
    """`--version` of a command."""
    return click.version_option(installed_version() or "of sources that are not installed", prog_name=name)
