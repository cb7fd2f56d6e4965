"""The Python blocks of the documentation run as they are printed.

The blocks of one file share a namespace, in order. The line that opens a block says what else may happen:
`python` runs, `python slow` runs with the slow tests, `python requires: MODULE` runs where that module is installed,
`python no-run: REASON` is reported as skipped. The blocks in the help of instructions run inside a kernel.
"""

import importlib.util
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import nkisim.nki as nki
import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim import Simulator
from nkisim.operations.instruction import INSTRUCTIONS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted({ROOT / "README.md", ROOT / "simulate/README.md", *(ROOT / "docs").rglob("*.md")})

FENCE = re.compile(r"^(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>.*?)[ \t]*$")
RUN, SLOW, NO_RUN, REQUIRES = "run", "slow", "no-run", "requires"


class Block(NamedTuple):
    """One fenced block: the line of its fence, what to do with it, why not to run it, its code."""

    line: int
    action: str
    reason: str
    code: str


def action_of(info: str) -> tuple[str, str] | None:
    """What the opening line asks for, and the reason if it is not to run. None: the block is not Python."""
    language, _, rest = info.partition(" ")
    if not re.match(r"\{?\.?py", language, re.IGNORECASE):
        return None
    if language != "python":
        raise ValueError(f"write `python`, not {language!r}")
    if rest in ("", SLOW):
        return rest or RUN, ""
    word, _, reason = rest.partition(":")
    if word not in (NO_RUN, REQUIRES) or not reason.strip():
        raise ValueError(f"{rest!r} is neither 'slow' nor 'requires: MODULE' nor 'no-run: REASON'")
    if word == REQUIRES and importlib.util.find_spec(reason.strip()):
        return RUN, ""
    return NO_RUN, f"requires {reason.strip()}" if word == REQUIRES else reason.strip()


def python_blocks(text: str, page: str = "page") -> Iterator[Block]:
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        opening = FENCE.match(line)
        if not opening:
            continue
        code = [*code_until_close(lines, opening, f"{page}:{number}")]
        try:
            action = action_of(opening["info"])
        except ValueError as problem:
            raise ValueError(f"{page}:{number}: {problem}") from None
        if action:
            yield Block(number, *action, textwrap.dedent("\n".join(code)))


def code_until_close(lines: Iterator[tuple[int, str]], opening: re.Match[str], place: str) -> Iterator[str]:
    for _, line in lines:
        closing = FENCE.match(line)
        if closing and closing["fence"].startswith(opening["fence"]) and not closing["info"]:
            return
        yield line
    raise ValueError(f"{place}: this fence is never closed")


def run_blocks(blocks: list[Block], name: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks:
        code = "\n" * block.line + block.code  # so that a traceback names the line of the page
        exec(compile(code, name, "exec", dont_inherit=True), namespace)
    return namespace


def examples() -> Iterator[Any]:
    """A page runs once, and once more with its slow blocks if it has any; each block left out is one skip."""
    for page in (page for page in PAGES if page.exists()):
        name = page.relative_to(ROOT).as_posix()
        blocks = [*python_blocks(page.read_text("utf-8"), name)]
        quick = [block for block in blocks if block.action == RUN]
        runnable = [block for block in blocks if block.action != NO_RUN]
        yield pytest.param(page, quick, id=name)
        if runnable != quick:
            yield pytest.param(page, runnable, id=f"{name}-slow", marks=pytest.mark.slow)
        for block in (block for block in blocks if block.action == NO_RUN):
            skip = pytest.mark.skip(reason=f"{name}:{block.line}: {block.reason}")
            yield pytest.param(page, [block], id=f"{name}:{block.line}", marks=skip)


@pytest.mark.parametrize(("page", "blocks"), [*examples()])
def test_the_code_on_a_page_runs(
    page: Path, blocks: list[Block], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    run_blocks(blocks, str(page))


@pytest.mark.parametrize("name", [name for name, declared in INSTRUCTIONS.items() if not declared.refused])
def test_the_example_in_the_help_of_an_instruction_runs_and_uses_it(name: str) -> None:
    (block,) = python_blocks(getattr(nisa, name).__doc__, name)

    @nki.jit
    def example() -> None:
        exec(compile(block.code, f"help(nisa.{name})", "exec"), {"nisa": nisa, "nl": nl})

    run = Simulator(target="trn3", lnc=2).run(example)
    assert run.profile.opcodes[name] >= 1
    assert run.findings == []


def test_blocks_of_a_page_share_names_in_order() -> None:
    page = "```python\na = 1\n```\ntext\n```python\nb = a + 1\n```\n"
    assert run_blocks([*python_blocks(page)], "page")["b"] == 2


def test_a_failure_is_reported_at_its_line_of_the_page() -> None:
    with pytest.raises(ZeroDivisionError) as failure:
        run_blocks([*python_blocks("# Title\n\n```python\nx = 1\nx / 0\n```\n")], "page.md")
    assert (failure.traceback[-1].path, failure.traceback[-1].lineno + 1) == ("page.md", 5)


def test_only_python_blocks_are_taken() -> None:
    assert [*python_blocks("```\nx(\n```\n```bash\ny(\n```\n~~~text\n```python\nz(\n```\n~~~\n")] == []


def test_an_indented_block_loses_its_indent() -> None:
    assert [block.code for block in python_blocks("* item\n\n  ```python\n  if x:\n      y\n  ```\n")] == [
        "if x:\n    y"
    ]


@pytest.mark.parametrize(
    ("info", "action"),
    [
        ("python", (RUN, "")),
        ("python slow", (SLOW, "")),
        ("python no-run: needs a Trainium device", (NO_RUN, "needs a Trainium device")),
        ("python requires: numpy", (RUN, "")),
        ("python requires: no_such_module", (NO_RUN, "requires no_such_module")),
        ("", None),
        ("toml", None),
    ],
)
def test_the_opening_line_says_what_happens(info: str, action: tuple[str, str] | None) -> None:
    assert action_of(info) == action


@pytest.mark.parametrize(
    "info",
    [
        *("python no-run", "python no-run:", "python no-run: ", "python requires:", "python skip", "python  slow"),
        *("py", "Python", "python3", "pycon", "{.python}"),
    ],
)
def test_a_block_cannot_be_left_out_without_a_reason(info: str) -> None:
    with pytest.raises(ValueError, match=r"write `python`|neither 'slow'"):
        action_of(info)


def test_an_open_fence_is_an_error_not_an_empty_page() -> None:
    with pytest.raises(ValueError, match="page:2: this fence is never closed"):
        [*python_blocks("text\n```python\nx = 1\n")]
