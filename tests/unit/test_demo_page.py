"""Figures find their place in a page, and leave the rest of it alone."""

from pathlib import Path

import pytest

from demo_voice.errors import RecipeError
from demo_voice.page import PAGE_MARK, Page

pytestmark = pytest.mark.unit


def test_what_stood_between_the_marks_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(f"above\n{PAGE_MARK}\nold\n{PAGE_MARK}\nbelow\n", encoding="utf-8")
    for figures in ("new\n", "newer\n"):
        Page.read(path).put(figures)
        assert path.read_text(encoding="utf-8") == f"above\n{PAGE_MARK}\n{figures}{PAGE_MARK}\nbelow\n"


@pytest.mark.parametrize("text", ["", "no marks", f"{PAGE_MARK}\nonly one"])
def test_a_page_without_a_place_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "page.md"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match="has not two lines"):
        Page.read(path)
