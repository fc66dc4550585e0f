"""The pages of the documentation, read as they are rendered: links, headings, tables, and what there is to run.

A block of `sh` is run by a test, as it stands. Its info string may say how:

    sh                      it ends by itself, with status 0
    sh endless              it runs until it is stopped; it is stopped when it has said what the page shows
    sh not-run: WHY         it is not run, and why

A block of `text` right after it shows what it prints, with `…` for whatever varies. A block of `python FILE` is an
excerpt of that file.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
MARKDOWN = MarkdownIt("commonmark").enable("table")
NOT_IN_AN_ANCHOR = re.compile(r"[^\w\- ]")


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    line: int
    info: str
    """What stands behind the opening fence: the language, and what is special about the block."""
    code: str
    shown: str | None
    """What the page says that it prints."""

    @property
    def language(self) -> str:
        return self.info.split(" ", 1)[0]

    @property
    def note(self) -> str:
        return self.info.partition(" ")[2].strip()


class Page:
    """One Markdown file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.relative_to(ROOT).as_posix()

    @cached_property
    def tokens(self) -> list[Token]:
        return MARKDOWN.parse(self.path.read_text(encoding="utf-8"))

    @property
    def blocks(self) -> list[Block]:
        """The fenced blocks, in their order."""
        found = []
        for token, after in zip(self.tokens, [*self.tokens[1:], None], strict=True):
            if token.type == "fence":
                shown = after.content if after is not None and after.type == "fence" and after.info == "text" else None
                found.append(Block(_line_of(token), token.info.strip(), token.content, shown))
        return found

    @property
    def indented(self) -> list[str]:
        """The blocks that are code because they are indented."""
        return [token.content for token in self.tokens if token.type == "code_block"]

    @property
    def links(self) -> Iterator[str]:
        """Where the page's links and images lead."""
        for token in self.tokens:
            for part in token.children or ():
                target = part.attrGet("href" if part.type == "link_open" else "src")
                if target is not None and part.type in {"link_open", "image"}:
                    yield str(target)

    @property
    def anchors(self) -> set[str]:
        """What a link may name after `#`: the headings, as GitHub makes anchors of them."""
        titles = [after.content for token, after in self._pairs() if token.type == "heading_open"]
        return {NOT_IN_AN_ANCHOR.sub("", title.lower()).replace(" ", "-") for title in titles}

    def table_after(self, heading: str) -> list[list[str]]:
        """The rows of the first table below this heading, without its header."""
        rows: list[list[str]] = []
        is_below = False
        for token, after in self._pairs():
            if token.type == "heading_open":
                is_below = is_below or after.content == heading
            elif is_below and token.type == "tr_open":
                rows.append([])
            elif is_below and token.type in {"td_open", "th_open"}:
                rows[-1].append(after.content)
            elif is_below and token.type == "table_close":
                return rows[1:]
        raise LookupError(f"{self.name} has no table below {heading!r}")

    def _pairs(self) -> Iterator[tuple[Token, Token]]:
        return zip(self.tokens, self.tokens[1:], strict=False)


def _line_of(token: Token) -> int:
    return token.map[0] + 1 if token.map else 0


def all_pages() -> list[Page]:
    """Every page of the repository."""
    paths = [path.relative_to(ROOT) for path in ROOT.rglob("*.md")]
    return [Page(ROOT / path) for path in sorted(paths) if not any(part.startswith(".") for part in path.parts)]


def names_in(cell: str) -> list[str]:
    """What is written as `code` in a table's cell."""
    return re.findall(r"`([^`]+)`", cell)
