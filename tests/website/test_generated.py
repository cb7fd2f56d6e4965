"""Generated pages: what they show exists, and what they say to type is understood."""

import pytest

from nkimoe import ops
from nkimoe.cli.main import main
from nkimoe.planning.variants import VARIANTS
from nkisim.operations.instruction import INSTRUCTIONS
from website.instructions import instruction_pages
from website.language import language_names, language_pages
from website.markdown import escaped, table
from website.operations import command_shown, operation_pages
from website.python_reference import python_pages
from website.variants import variant_pages


def test_every_instruction_has_a_page_with_its_help_and_the_index_lists_each() -> None:
    pages = instruction_pages()
    index = pages.pop("reference/isa/index.md")
    assert pages.keys() == {f"reference/isa/{name}.md" for name in INSTRUCTIONS}
    assert [name for name in INSTRUCTIONS if f"({name}.md)" not in index] == []
    page = pages["reference/isa/tensor_tensor.md"]
    assert "nisa.tensor_tensor(dst, data1, data2, op, engine=engine.unknown, name=None)" in page
    assert "dst = data1 &lt;op&gt; data2" in page
    assert "* Cost: two\\_input\\_elementwise (two tensors of one size)." in page


def test_the_page_of_the_language_has_every_name_and_how_it_is_called() -> None:
    (page,) = language_pages().values()
    headings = {line[4:] for line in page.splitlines() if line.startswith("### ")}
    listed = {name for name in language_names() if f"`nl.{name}`" in page}
    assert {*language_names()} - headings - listed - {"DType", "MemoryRegion", "tile_size"} == set()
    assert "nl.load(src, dtype=None)" in page
    assert "nl.blocks(source, *, tile_shape=None, block_shape)" in page
    assert "| `nl.rsqrt` | `1 / sqrt(x)` | yes | 6.46e-27 to 1.58e+29 |  |" in page
    assert "* ShapeError: it has not two dimensions." in page


@pytest.mark.slow
def test_every_operation_has_a_page_with_a_picture() -> None:
    files = operation_pages()
    for name in ops.__all__:
        assert f"../pictures/{name}.svg" in files[f"ops/{name}.md"]
        assert "predicted by nkisim" in files[f"pictures/{name}.svg"]


@pytest.mark.parametrize("name", ops.__all__)
def test_the_command_on_the_page_of_an_operation_is_understood(name: str) -> None:
    program, op, command, *arguments = command_shown(name).split()
    assert (program, op, command) == ("nkimoe", "op", name)
    operations = main.get_command(None, "op")
    operations.get_command(None, command).make_context(command, arguments)


@pytest.mark.slow
def test_every_variant_has_a_page_with_its_plan_and_a_picture() -> None:
    files = variant_pages()
    for variant in VARIANTS.values():
        assert f"request  {variant.name} on {variant.targets[-1]}" in files[f"variants/{variant.name}.md"]
        assert "predicted by nkisim" in files[f"pictures/{variant.name}.svg"]


def test_a_name_of_two_modules_is_described_once() -> None:
    pages = python_pages()
    assert "::: nkimoe.pytorch.options.Options" in pages["reference/python/nkimoe.pytorch.md"]
    assert "::: nkimoe.pytorch.options.Options" not in pages["reference/python/nkimoe.hf.md"]
    assert "[nkimoe.pytorch][nkimoe.pytorch.options.Options]" in pages["reference/python/nkimoe.hf.md"]


def test_text_shows_every_character_it_has() -> None:
    assert escaped("a_b <op> `c_d` [T, H]") == "a\\_b &lt;op&gt; `c_d` \\[T, H\\]"
    assert table(["a"], [["b"]]) == "| a |\n| --- |\n| b |"
