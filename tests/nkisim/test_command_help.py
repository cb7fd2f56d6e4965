"""Help in sections with examples, what was meant by a wrong name, and scripts that import nki."""

import subprocess
import sys
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

import nkisim
from nkisim.__main__ import main
from nkisim.command_help import OneOf, SectionedCommand, examples, section

A, B = section("First"), section("Second")


@click.command(cls=SectionedCommand, epilog=examples("tool --size 1", "tool --kind [a]"))
@B("--size", type=int)
@A("--kind", type=OneOf(["plain", "packed"]))
@B("--depth", type=int)
@click.option("--loud", is_flag=True)
def tool(**_):
    """A tool."""


def invoke(*arguments):
    return CliRunner().invoke(tool, arguments, prog_name="tool")


def test_options_stand_under_the_title_of_their_section_and_others_last():
    text = invoke("--help").output
    order = ["Second:", "--size", "--depth", "First:", "--kind", "Options:", "--loud", "Examples:"]
    assert [text.index(word) for word in order] == sorted(text.index(word) for word in order)


def test_choices_that_leave_no_room_stand_in_the_help_which_is_wrapped():
    names = [f"implementation-{n}" for n in range(9)]

    @click.command(cls=SectionedCommand)
    @click.option("--variant", type=OneOf(names), help="Which kernel.")
    @click.option("--kind", type=OneOf(["plain", "packed"]))
    def wide(**_):
        """A tool."""

    text = CliRunner().invoke(wide, ["--help"], terminal_width=60).output
    assert max(map(len, text.splitlines())) <= 60
    assert "--variant NAME" in text
    assert "--kind [plain|packed]" in text
    assert all(name in text for name in names)
    assert "Which kernel. One of implementation-0," in " ".join(text.split())


def test_examples_keep_their_lines_and_brackets():
    assert invoke("--help").output.rstrip().endswith("Examples:\n    tool --size 1\n    tool --kind [a]")


@pytest.mark.parametrize(
    ("given", "said"), [("plane", "Did you mean plain?"), ("pakced", "Did you mean packed?"), ("x", "'packed'.")]
)
def test_a_choice_that_does_not_exist_is_answered_with_what_was_meant(given, said):
    refused = invoke("--kind", given)
    assert refused.exit_code == 2
    assert refused.output.rstrip().endswith(said)


@pytest.mark.parametrize("command", ["run", "trace", "roofline", "lint", "script"])
def test_every_command_of_nkisim_shows_examples(command):
    assert "Examples:\n" in CliRunner().invoke(main, [command, "--help"]).output


def test_a_target_that_does_not_exist_is_answered_with_those_that_do():
    assert "Did you mean trn3 or trn2?" in CliRunner().invoke(main, ["run", "a:b", "--target", "trn4"]).output


def test_the_command_and_both_packages_say_their_version():
    assert nkisim.__version__ == import_module("nkimoe").__version__
    assert CliRunner().invoke(main, ["--version"]).output.startswith("nkisim, version ")


def test_a_script_that_imports_nki_runs_on_the_simulator_with_its_own_arguments(tmp_path):
    (tmp_path / "beside.py").write_text("NAME = 'beside'\n")
    script = tmp_path / "uses_nki.py"
    script.write_text("import sys, nki, beside\nprint(nki.__name__, __name__, sys.argv[1:], beside.NAME)\n")
    command = [sys.executable, "-m", "nkisim", "script", str(script), "--its-own=1", "-v"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "nkisim.nki __main__ ['--its-own=1', '-v'] beside\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("copy_hmb",), "Did you mean copy_hbm?"),
        (("copy_hbm", "--input", "x=4x8:bflaot16"), "Did you mean bfloat16"),
        (("copy_hbm", "--input", "x=4x8", "--what-if", "pe_clok=2"), "Did you mean pe_clock"),
    ],
)
def test_names_of_kernels_types_and_constants_are_answered_with_what_was_meant(arguments, said):
    name, *options = arguments
    refused = CliRunner().invoke(main, ["run", f"support.timed_kernels:{name}", *options])
    assert refused.exit_code == 2
    assert said in " ".join(refused.output.split())
