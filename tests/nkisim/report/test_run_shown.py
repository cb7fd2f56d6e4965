"""A run that shows itself: as text, in a line, in a notebook."""

import numpy as np
from support import timed_kernels

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim import Simulator
from nkisim.errors import Location
from nkisim.report import source_text


def run(**options):
    return Simulator("trn2", **options).run(timed_kernels.copy_hbm, np.ones((128, 512), np.float32))


def test_printing_a_run_gives_its_report():
    done = run()
    assert str(done) == done.report()
    for words in ("predicted on 1 trn2 core", "critical path: ", "timed_kernels.py:", "HBM: "):
        assert words in done.report()


def test_the_representation_is_one_short_line_that_predicts_nothing():
    done = run()
    assert repr(done) == "<Run: 16 instructions, HBM 2.10 MB read, 2.10 MB written, findings: 0>"
    assert "prediction" not in vars(done.profile)


def test_without_the_time_model_the_counts_are_shown():
    done = run(timing=False)
    assert str(done) == "16 instructions, HBM 2.10 MB read, 2.10 MB written"
    assert "<table>" not in done._repr_html_()


def test_a_notebook_gets_tables_and_text():
    bundle = run()._repr_mimebundle_()
    assert bundle["text/plain"] == run().report()
    for words in ("<table>", "dma</td>", "nisa.dma_copy(dst=tile, src=x)", "predicted on 1 trn2 core"):
        assert words in bundle["text/html"]


def test_findings_are_shown_and_escaped():
    def kernel(x):
        out = nl.ndarray(x.shape, x.dtype, buffer=nl.shared_hbm, name="<b>")
        nisa.dma_copy(dst=out[:-1, :], src=x[:-1, :])
        return out

    done = Simulator("trn2", report_only=True).run(kernel, np.ones((4, 8), np.float32))
    assert "NKI401" in done.report()
    assert "<li>NKI401" in done._repr_html_()
    assert "<b>" not in done._repr_html_()


def test_lines_and_functions_are_found_and_missing_files_have_none(tmp_path):
    file = tmp_path / "k.py"
    file.write_text("x = 1\nclass A:\n    def f(self):\n        def g():\n            return 1\n        return g\n")
    places = [Location(str(file), n) for n in range(1, 8)]
    functions = ["", "", "A.f", "A.f.g", "A.f.g", "A.f", ""]
    assert [source_text.function_at(place) for place in places] == functions
    assert source_text.line_text(places[4]) == "return 1"
    assert source_text.stage_of(places[0]) == "k.py:-"
    assert source_text.line_text(Location("nowhere.py", 3)) == source_text.function_at(Location("nowhere.py", 3)) == ""
