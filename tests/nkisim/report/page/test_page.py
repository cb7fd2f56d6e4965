"""The page of a run: whole, self-contained, the same numbers as the report."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import ml_dtypes
import numpy as np
import pytest
from click.testing import CliRunner
from support import timed_kernels

from nkisim import Simulator
from nkisim.__main__ import main
from nkisim.errors import ArgumentError
from nkisim.memory import MemoryRegion
from nkisim.report.page import Subject, check_page, save_page
from nkisim.report.pictures import PictureError

MOST_BYTES = 5_000_000
KERNEL = f"{timed_kernels.__file__}:every_engine"
INPUTS = ("--input", "x=128x128", "--input", "w=128x128", "--target", "trn2", "--lnc", "2")
ONES = np.ones((128, 128), ml_dtypes.bfloat16)
needs_bokeh = pytest.mark.usefixtures("bokeh")


@pytest.fixture(scope="session")
def bokeh():
    return pytest.importorskip("bokeh")


@pytest.fixture(scope="module")
def run():
    return Simulator("trn2", 2).run(timed_kernels.every_engine, ONES, ONES)


class Elements(HTMLParser):
    """All start tags with their attributes, and the text outside of scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self._inside = [], "", ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        self.text += "" if self._inside else data

    def of(self, tag, attribute):
        return [attributes[attribute] for name, attributes in self.tags if name == tag and attribute in attributes]


@pytest.fixture(scope="module")
def page(run, bokeh, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "a.html"
    run.save_page(path, Subject("a <b>title</b>", [("layer", "made & up")]))
    return path


@pytest.fixture(scope="module")
def elements(page):
    return Elements(page.read_text("utf-8"))


def test_nothing_is_fetched_and_the_policy_forbids_it(page, elements):
    assert page.stat().st_size < MOST_BYTES
    assert elements.of("script", "src") == elements.of("img", "src") == elements.of("link", "href") == []
    (policy,) = elements.of("meta", "content")[:1]
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_the_page_says_what_the_report_says(elements, run):
    text = " ".join(elements.text.split())
    profile = run.profile
    low, high = profile.interval_us
    for words in ("a <b>title</b>", "made & up", "Nothing here is measured", f"({low:.1f} to {high:.1f})",
                  "FindingsNone.", "What to change first", "critical path", "timed_kernels.py:every_engine",
                  "nisa.nc_matmul("):  # fmt: skip
        assert words in text


def test_every_link_leads_to_a_line_of_the_page(elements):
    targets = {attributes["id"] for _, attributes in elements.tags if "id" in attributes}
    links = elements.of("a", "href")
    assert links
    assert {link.removeprefix("#") for link in links} <= targets


def test_the_keyboard_reaches_what_moves_the_timeline(elements):
    assert elements.of("button", "data-do") == ["left", "right", "in", "out", "all"]
    assert "toolbar" in elements.of("div", "role")


def test_light_and_dark_have_colours_of_their_own(page):
    text = page.read_text("utf-8")
    assert "color-scheme: light dark" in text
    assert "prefers-color-scheme: dark" in text


def test_a_narrow_page_breaks_what_is_long_and_names_the_cells_of_the_source(page, elements):
    text = page.read_text("utf-8")
    assert "<figcaption>SBUF of core 1, " in text
    assert "@media (max-width: 40rem)" in text
    assert {"critical", "busy", "waits"} == set(elements.of("td", "data-label"))


def test_a_line_with_several_instructions_names_each(tmp_path, bokeh):
    def kernel(x):
        nisa.tensor_copy(dst=nl.ndarray(x.shape, x.dtype), src=nl.load(x))  # two instructions of one line

    import nkisim.nki.isa as nisa
    import nkisim.nki.language as nl

    Simulator("trn2").run(kernel, np.ones((128, 8), np.float32)).save_page(tmp_path / "a.html", Subject("a"))
    assert "2 dma_copy, tensor_copy" in Elements((tmp_path / "a.html").read_text("utf-8")).text


def test_a_line_with_a_comprehension_counts_once():
    def kernel(x):
        tiles = [nl.load(x[i]) for i in range(4)]  # a function of its own before Python 3.12
        return store_sum(tiles)

    def store_sum(tiles):
        out = nl.ndarray(tiles[0].shape, tiles[0].dtype, buffer=nl.shared_hbm)
        nisa.dma_copy(dst=out, src=nl.add(tiles[0], tiles[1]))
        return out

    import nkisim.nki.isa as nisa
    import nkisim.nki.language as nl

    prediction = Simulator("trn2").run(kernel, np.ones((4, 128, 8), np.float32)).profile.prediction
    (loads,) = (line for line in prediction.all_lines if line.instructions == 4)
    assert loads.location not in prediction.called
    (call,) = prediction.called  # of the other line, which does call a function
    assert call.line == loads.location.line + 1


def test_findings_are_listed(bokeh, tmp_path):
    def kernel(x):
        return nl.ndarray(x.shape, x.dtype, buffer=nl.shared_hbm)

    import nkisim.nki.language as nl

    run = Simulator("trn2", report_only=True).run(kernel, np.ones((4, 8), np.float32))
    run.save_page(tmp_path / "a.html", Subject("nothing"))
    assert "NKI401" in Elements((tmp_path / "a.html").read_text("utf-8")).text


@needs_bokeh
def test_the_command_writes_a_page(tmp_path):
    done = CliRunner().invoke(main, ["report", KERNEL, *INPUTS, "-o", str(tmp_path / "k.html")])
    assert done.exit_code == 0, done.output
    assert done.output == f"wrote {tmp_path / 'k.html'}\n"
    assert KERNEL in Elements((tmp_path / "k.html").read_text("utf-8")).text


def test_without_bokeh_the_command_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr("nkisim.report.page.plots.importlib.util.find_spec", lambda name: None)
    with pytest.raises(PictureError, match=r"pip install 'nkimoe\[viz\]'"):
        check_page()
    done = CliRunner().invoke(main, ["report", KERNEL, *INPUTS, "-o", str(tmp_path / "k.html")])
    assert done.exit_code == 2
    assert "pip install 'nkimoe[viz]'" in done.output


@needs_bokeh
def test_a_run_without_the_time_model_has_no_page(tmp_path):
    run = Simulator("trn2", timing=False).run(timed_kernels.copy_hbm, np.ones((128, 8), np.float32))
    with pytest.raises(ArgumentError, match="needs the time model"):
        save_page(tmp_path / "a.html", run.profile, run.findings, Subject("x"))
    assert list(tmp_path.iterdir()) == []


def bars(plot):
    return [renderer.data_source.data for renderer in plot.renderers]


@needs_bokeh
def test_the_timeline_has_a_bar_for_each_instruction_and_marks_the_critical_ones(run):
    from bokeh.models import Range1d

    from nkisim.report.page.timeline_plot import timeline_plot

    found = bars(timeline_plot(run.profile.prediction, Range1d(0, 1)))
    timeline = run.profile.prediction.timeline
    assert sum(int(data["count"].sum()) for data in found) >= len(timeline.tasks)
    assert max(data["right"].max() for data in found) <= run.profile.latency_us + 1e-3
    marked = sum(int(data["critical"].sum()) for data in found)
    assert 0 < marked <= len(run.profile.prediction.path.steps)


@needs_bokeh
def test_neighbours_become_one_bar_where_there_are_too_many(run, monkeypatch):
    from bokeh.models import Range1d

    from nkisim.report.page import timeline_plot

    monkeypatch.setattr(timeline_plot, "MOST_BARS", 14)
    plot = timeline_plot.timeline_plot(run.profile.prediction, Range1d(0, 1))
    assert sum(len(data["left"]) for data in bars(plot)) <= 14
    assert "neighbours up to" in plot.title.text


@needs_bokeh
@pytest.mark.parametrize("buffer", [MemoryRegion.sbuf, MemoryRegion.psum])
def test_the_tensors_of_a_memory_lie_where_the_capacity_check_put_them(run, buffer):
    from bokeh.models import Range1d

    from nkisim.report.page.memory_plot import memory_plot

    capacity = run.profile.capacity
    (data,) = bars(memory_plot(run.profile.prediction.timeline, capacity, 0, buffer, Range1d(0, 1)))
    lives = capacity.lifetimes(0, buffer)
    assert sorted(data["size"]) == sorted(life.size for life in lives)
    assert data["top"].max() <= capacity.occupancy[0, buffer].capacity


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs a Chromium, to open the page in")
def test_a_browser_draws_the_plots_without_an_error(page):
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000"]
    opened = [*command, "--enable-logging=stderr", "--v=0", "--dump-dom", page.as_uri()]
    done = subprocess.run(opened, capture_output=True, text=True, timeout=120, check=True)
    assert re.search(r"<output[^>]*>0\.000 to [\d.]+ us</output>", done.stdout)
    assert "CONSOLE" not in re.sub(r".*\[bokeh.*", "", done.stderr)
