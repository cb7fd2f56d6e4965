# SPDX-License-Identifier: Apache-2.0
"""A run as one page of HTML that needs no network: `save_page`."""

from nkisim.report.page.page import Subject, save_page
from nkisim.report.page.plots import check_page

__all__ = ["Subject", "check_page", "save_page"]
