"""A page of the documentation that figures are put into."""

from dataclasses import dataclass
from pathlib import Path

from demo_voice.errors import RecipeError

PAGE_MARK = "<!-- figures -->"


@dataclass(frozen=True, slots=True)
class Page:
    """A page with two marks that figures stand between."""

    path: Path
    before: str
    after: str

    @classmethod
    def read(cls, path: Path) -> "Page":
        """
        Raises:
            RecipeError: it has no marks.
        """
        before, opening, rest = path.read_text(encoding="utf-8").partition(f"{PAGE_MARK}\n")
        _, closing, after = rest.partition(PAGE_MARK)
        if not (opening and closing):
            raise RecipeError(f"{path}: has not two lines {PAGE_MARK} for the figures to stand between")
        return cls(path, before + opening, closing + after)

    def put(self, figures: str) -> None:
        self.path.write_text(f"{self.before}{figures}{self.after}", encoding="utf-8")
