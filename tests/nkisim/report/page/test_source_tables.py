"""The source with what each line costs."""

import importlib.util

import numpy as np

from nkisim import Simulator
from nkisim.report.page import source_tables

SOURCE = """import nkisim.nki.isa as nisa
import nkisim.nki.language as nl


def load(x):
    rows = nl.ndarray(x.shape, x.dtype, buffer=nl.sbuf)  # <b>bold</b> & "quoted"
    nisa.dma_copy(dst=rows, src=x)
    return rows


def kernel(x):
    out = nl.ndarray(x.shape, x.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(dst=out, src=load(x))
    return out
"""


def tables(tmp_path, source=SOURCE):
    (tmp_path / "k.py").write_text(source)
    spec = importlib.util.spec_from_file_location("k", tmp_path / "k.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    run = Simulator("trn2").run(module.kernel, np.ones((4, 8), np.float32))
    return list(source_tables.source_tables(run.profile.prediction))


def test_a_stage_has_a_table_with_its_whole_function(tmp_path):
    found = tables(tmp_path)
    assert len(found) == 2
    assert {"k.py:kernel: " in table or "k.py:load: " in table for table in found} == {True}
    of_load = next(table for table in found if "k.py:load: " in table)
    assert of_load.count("<tr id=") == 4
    assert of_load.count("class='bar'") == 1


def test_source_is_escaped(tmp_path):
    text = "".join(tables(tmp_path))
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; &quot;quoted&quot;" in text
    assert "<b>" not in text


def test_a_line_says_for_whom_it_waited(tmp_path):
    assert "k.py:7 (operand)" in "".join(tables(tmp_path)) or "for line 7 (operand)" in "".join(tables(tmp_path))


def test_a_long_function_is_shown_around_the_lines_that_do_something(tmp_path):
    filler = "".join(f"    n = {i}\n" for i in range(600))
    long = SOURCE.replace("    return out\n", f"{filler}    return out\n")
    found = next(table for table in tables(tmp_path, long) if "k.py:kernel: " in table)
    assert found.count("<tr id=") < 50
