"""Pictures are written in every format, and what is in them is right."""

import pytest
from support.hand_made import HandMade

from nkisim.machine import Peaks, UsefulWork
from nkisim.report import pictures, roofline, timeline_picture
from nkisim.report.pictures import PictureError, check_picture, duration
from nkisim.report.prediction import Prediction
from nkisim.report.roofline import save_roofline
from nkisim.report.timeline_picture import FEW_SLICES, save_timeline

MAGIC = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved, instead of files."""
    figures = []
    for module in (roofline, timeline_picture):
        monkeypatch.setattr(module, "save", lambda figure, path: figures.append(figure))
    return figures


@pytest.mark.parametrize("suffix", MAGIC)
def test_both_pictures_are_written_in_every_format(two_cores, tmp_path, suffix):
    for name, save in (("roofline", two_cores.save_roofline), ("timeline", two_cores.save_timeline)):
        path = tmp_path / f"{name}.{suffix}"
        save(path)
        assert path.read_bytes().startswith(MAGIC[suffix])
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", ["picture.bmp", "picture"])
def test_another_format_is_refused(two_cores, tmp_path, name):
    with pytest.raises(PictureError, match=r"\.png, \.svg or \.pdf"):
        two_cores.save_roofline(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_the_message_says_what_to_install(monkeypatch, two_cores, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(PictureError, match=r"pip install 'nkimoe\[viz\]'"):
        check_picture("a.png")
    with pytest.raises(PictureError, match="matplotlib"):
        two_cores.save_timeline(tmp_path / "a.png")


def test_dots_lie_where_flops_and_bytes_put_them(drawn):
    works = [UsefulWork(1e9, 1e7), UsefulWork(4e9, 2e7, "executed")]
    save_roofline("x.png", works, 100.0, Peaks(100, 500), "1 trn2 core(s)")
    axes = drawn[0].axes[0]
    dots = [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if line.get_marker() == "o"]
    assert dots == [(100, 10), (200, 40)]
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["useful: 10 TFLOP/s predicted, 20% of the roof there",
                     "executed: 40 TFLOP/s predicted, 40% of the roof there"]  # fmt: skip
    assert "predicted by nkisim" in axes.get_title(loc="left")
    assert axes.get_xlabel()
    assert axes.get_ylabel()


def test_a_short_run_is_one_panel_with_a_bar_an_instruction(drawn):
    made = HandMade()
    for n in range(5):
        made.engine("vector", (n * 100, n * 100, n * 100 + 50, n * 100 + 60))
    save_timeline("x.png", Prediction(made.timeline))
    (axes,) = drawn[0].axes
    assert [len(bars.get_paths()) for bars in axes.collections] == [5, 1]  # the last one is the critical path
    assert "predicted" in axes.get_title(loc="left")


def test_a_long_run_has_an_overview_and_a_window_of_it(drawn):
    made = HandMade()
    for n in range(4 * FEW_SLICES):
        made.engine("vector", (n * 100, n * 100, n * 100 + 50, n * 100 + 50))
    save_timeline("x.png", Prediction(made.timeline))
    overview, window = drawn[0].axes
    latency = made.timeline.latency_ns / 1e3
    assert overview.get_xlim() == pytest.approx((0, latency))
    low, high = window.get_xlim()
    assert 0 < low < high < latency
    assert 0.5 * FEW_SLICES <= len(window.collections[0].get_paths()) <= 1.5 * FEW_SLICES


@pytest.mark.parametrize(("us", "text"), [(0.5, "0.5 us"), (941.2, "941 us"), (2288.0, "2.29 ms"), (3e6, "3 s")])
def test_durations_have_three_digits_and_a_unit(us, text):
    assert duration(us) == text


def test_every_row_has_a_colour():
    assert {"Tensor", "Vector", "Scalar", "GpSimd", "Sync", "DMA"} <= set(pictures.COLOURS)
