"""Which version an upgrade starts from."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.lab.layout import Layout
from tests.lab.previous import NAMED, find_previous, unpack_previous
from tests.lab.shell import LabError

if TYPE_CHECKING:
    from pathlib import Path

WHO = ("-c", "user.name=tests", "-c", "user.email=tests@example.com")


def git(repository: Path, *arguments: str) -> str:
    """Run git in *repository*; return what it prints."""
    return subprocess.run(["git", "-C", repository, *WHO, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def commit(repository: Path, content: str) -> str:
    """Commit a file with *content*; return the commit."""
    (repository / "file").write_text(content)
    git(repository, "add", "file")
    git(repository, "commit", "--quiet", f"--message={content}")
    return git(repository, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository without a commit."""
    repository = tmp_path / "repository"
    repository.mkdir()
    git(repository, "init", "--quiet")
    return repository


def test_the_newest_tag_before_what_is_checked_out_counts(repository: Path, tmp_path: Path) -> None:
    """A release that is checked out is no previous version of itself, and what is named counts only without a tag."""
    named = tmp_path / "named"
    first = commit(repository, "first")
    named.write_text(f"{first}\n")
    second = commit(repository, "second")
    assert find_previous(repository, named) == first

    git(repository, "tag", "v0.1.0")
    assert find_previous(repository, named) == first
    third = commit(repository, "third")
    git(repository, "tag", "v0.2.0")
    assert third != find_previous(repository, named) == second


def test_a_commit_that_is_nowhere_is_told_in_one_sentence(repository: Path, tmp_path: Path) -> None:
    """Neither the clone nor its origin has it."""
    commit(repository, "first")
    (tmp_path / "named").write_text("0123456789012345678901234567890123456789\n")

    with pytest.raises(LabError, match=r"The previous version, 0123456789012345678901234567890123456789, is not in this clone"):
        find_previous(repository, tmp_path / "named")


def test_a_commit_that_only_the_origin_has_is_fetched(repository: Path, tmp_path: Path) -> None:
    """As in a clone of one branch, or of the latest commits."""
    git(repository, "config", "uploadpack.allowAnySHA1InWant", "true")
    (tmp_path / "named").write_text(first := commit(repository, "first"))
    commit(repository, "second")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth=1", repository.as_uri(), str(clone))

    assert find_previous(clone, tmp_path / "named") == first


def test_its_source_is_unpacked_once(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the commit's name, as it was then."""
    (tmp_path / "named").write_text(first := commit(repository, "first"))
    commit(repository, "second")
    monkeypatch.setattr(find_previous, "__defaults__", (repository, tmp_path / "named"))

    tree = unpack_previous(Layout(tmp_path / "lab"), repository)
    (tree / "mark").touch()

    assert tree.name == first
    assert (tree / "file").read_text() == "first"
    assert (unpack_previous(Layout(tmp_path / "lab"), repository) / "mark").exists()


def test_what_is_named_is_one_commit() -> None:
    """A whole identifier, which no branch can move."""
    assert len(NAMED.read_text().strip()) == 40
