"""The worked figures of the course: the models compute them, and `vmsmp textbook` shows them."""

from __future__ import annotations

from functools import cache

import pytest

from textbook_figures import FIGURES
from vmsmp.report.textbook import CHAPTERS

IDS = [f"{figure.chapter}: {figure.what}" for figure in FIGURES]


@cache
def words_of(chapter):
    """A chapter's page, its words with single spaces between them."""
    (found,) = (one for one in CHAPTERS if one.name == chapter)
    return " ".join(" ".join(found.write().lines()).split())


@pytest.mark.parametrize("figure", FIGURES, ids=IDS)
def test_a_figure_comes_out_of_the_model(figure):
    assert figure.value == figure.computed()


@pytest.mark.parametrize("figure", FIGURES, ids=IDS)
def test_a_figure_is_on_its_page(figure):
    assert figure.shown in words_of(figure.chapter)
