"""The documentation as a whole: every page is found, every link leads somewhere, and the README promises what the quick start does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.pages import Step, blocks, steps, to_run
from tests.support.terminal import is_like

README = Path("README.md")
INDEX = Path("docs/README.md")
PAGES = [README, Path("CONTRIBUTING.md"), *sorted(Path("docs").rglob("*.md"))]
_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, made as GitHub makes them."""
    headings = _HEADING.findall(_FENCED.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_somewhere(page: Path) -> None:
    """To a file or folder that is there, and to a heading that it has."""
    for path, anchor in _LINK.findall(_FENCED.sub("", page.read_text())):
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


def test_every_page_is_listed() -> None:
    """No page of docs/ can be found by chance alone."""
    listed = {page.parent / path for page in (README, INDEX) for path, _ in _LINK.findall(page.read_text())}

    assert {page for page in Path("docs").glob("*.md") if page != INDEX} <= listed


def test_the_readme_types_what_the_quick_start_does() -> None:
    """Its commands are the first ones of the page, line by line, up to the gateway that is Ready."""
    section = README.read_text().partition("## Quick start\n")[2]
    (promised, *_) = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    done = "".join(step.typed for step in to_run(Path("docs/quick-start.md")))

    assert "--for=condition=Ready" in promised
    assert done.startswith("\n".join(line for line in promised.splitlines() if line))


PAGE = """
```sh
export A=1
```
<!-- not run: it would end the world -->
```sh
rm -rf /
```
1. In a list:

   ```console
   $ echo one \\
   > two
   one ...
   $ true
   ```

```yaml
a: 1
```
"""


def test_what_is_typed_and_seen(tmp_path: Path) -> None:
    """Blocks `sh` as a whole, commands with prompts one by one; not what has a reason not to be, and nothing of other languages."""
    page = tmp_path / "page.md"
    page.write_text(PAGE)

    assert to_run(page) == [
        Step(f"{page}:2", "export A=1\n", None),
        Step(f"{page}:11", "echo one \\\ntwo\n", "one ..."),
        Step(f"{page}:11", "true\n", ""),
    ]
    assert [block.why_not_run for block in blocks(page)] == ["", "it would end the world", "", ""]
    assert [step.where for block in blocks(page) for step in steps(block)][1] == f"{page}:5"


@pytest.mark.parametrize(
    ("shown", "seen", "like"),
    [
        ("NAME   AGE\nmail   ...", "NAME     AGE\nmail     12s\n", True),
        ("first\n...\nlast", "first\nsecond\nthird\nlast\n", True),
        ("", "", True),
        ("", "Error\n", False),
        ("NAME   AGE\nmail   ...", "NAME   AGE\nrelay   12s\n", False),
    ],
)
def test_what_is_seen_is_like_what_is_shown(shown: str, seen: str, *, like: bool) -> None:
    """Three dots are anything, white space is white space, and all else counts."""
    assert is_like(seen, shown) is like
