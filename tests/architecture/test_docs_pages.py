"""The documentation holds together: links lead somewhere, commands are run or say why not, excerpts are true."""

import re

import pytest

from tests.pages import ROOT, Page, all_pages

PAGES = all_pages()
COMMANDS = re.compile(
    r"^\s*(\$ |\.venv/|\. |cd|curl|docker|git|kcat|kubectl|make|oms|pip|python|redis-cli|uv) ?", re.MULTILINE
)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def test_there_are_pages() -> None:
    assert {"README.md", "docs/operating.md", "services/order/README.md"} <= {page.name for page in PAGES}


@each_page
def test_links_lead_somewhere(page: Page) -> None:
    assert [link for link in page.links if not leads_somewhere(page, link)] == []


def leads_somewhere(page: Page, link: str) -> bool:
    if "://" in link:
        return True
    path, _, anchor = link.partition("#")
    target = (page.path.parent / path).resolve() if path else page.path
    if not target.exists() or not target.is_relative_to(ROOT):
        return False
    return not anchor or anchor in Page(target).anchors


@each_page
def test_commands_are_in_blocks_that_are_run(page: Page) -> None:
    assert [code for code in page.indented if COMMANDS.search(code)] == []
    assert {block.language for block in page.blocks} <= {"", "sh", "text", "python", "mermaid", "yaml", "json"}


@each_page
def test_blocks_say_how_they_are_run_or_why_not(page: Page) -> None:
    notes = [block.note for block in page.blocks if block.language == "sh"]
    assert [note for note in notes if note not in {"", "endless"} and not re.match(r"not-run: \w+", note)] == []


@each_page
def test_excerpts_stand_in_the_files_that_they_name(page: Page) -> None:
    for block in page.blocks:
        if block.language == "python":
            assert block.code in (ROOT / block.note).read_text(), f"{page.name}:{block.line}"
