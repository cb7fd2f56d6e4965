"""Files of numbers say what made them."""

import sys

from nkisim.report.origin import made_by
from nkisim.timing import CLOCK


def test_the_command_can_be_pasted_into_a_shell(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["nkisim", "run", "a b.py:kernel"])
    found = made_by(3)
    assert (found["command"], found["clock"], found["seed"]) == ("nkisim run 'a b.py:kernel'", CLOCK, 3)


def test_sources_that_are_not_installed_have_no_version(monkeypatch):
    monkeypatch.setattr("nkisim.report.origin.version", _not_installed)
    assert made_by()["nkimoe"] is None


def _not_installed(name):
    from importlib.metadata import PackageNotFoundError

    raise PackageNotFoundError(name)
