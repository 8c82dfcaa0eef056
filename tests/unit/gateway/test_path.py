from __future__ import annotations

import pytest

from smtp_gateway.mail.path import Path, parse_parameters, parse_path

LONG_LABEL = "x" * 63


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("<a@example.com>", "a@example.com"),
        ("<A.b+c=d@Example.COM>", "A.b+c=d@Example.COM"),
        ("<!#$%&'*+/=?^_`{|}~-@example.com>", "!#$%&'*+/=?^_`{|}~-@example.com"),
        ("<a@host>", "a@host"),
        ("<a@under_score.example>", "a@under_score.example"),
        ("<>", ""),
        ('<"two words"@example.com>', '"two words"@example.com'),
        ('<"a@b"@example.com>', '"a@b"@example.com'),
        (r'<"back\"slash"@example.com>', r'"back\"slash"@example.com'),
        ("<@relay.example,@other.example:a@example.com>", "a@example.com"),
        ("<a@[192.0.2.1]>", "a@[192.0.2.1]"),
        ("<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]"),
        ("<Postmaster>", "Postmaster"),
        ("<用户@例子.example>", "用户@例子.example"),
        (f"<a@{LONG_LABEL}.example>", f"a@{LONG_LABEL}.example"),
        (f"<{'x' * 200}@example.com>", f"{'x' * 200}@example.com"),
    ],
)
def test_paths_are_read(text: str, address: str) -> None:
    """What RFC 5321 and RFC 6531 allow is taken as it stands, without brackets and source route."""
    assert parse_path(text) == Path(address)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a@example.com",
        "<a@example.com",
        "a@example.com>",
        "<a>",
        "<@example.com>",
        "<a@>",
        "<a@@example.com>",
        "<a@b@example.com>",
        "<.a@example.com>",
        "<a.@example.com>",
        "<a..b@example.com>",
        "<a b@example.com>",
        "< a@example.com>",
        "<(comment)a@example.com>",
        "<a@example.com(comment)>",
        "<a@-example.com>",
        "<a@example-.com>",
        "<a@example..com>",
        "<a@example.com.>",
        "<a@exam ple.com>",
        "<a@example.com><b@example.com>",
        "<a@example.com>SIZE=1",
        "<a,b@example.com>",
        "<a;b@example.com>",
        '<"unclosed@example.com>',
        '<"a"b@example.com>',
        "<a@[192.0.2.256]>",
        "<a@[2001:db8::1]>",
        "<a@[IPv6:192.0.2.1]>",
        "<a@[localhost]>",
        f"<a@{'x' * 64}.example>",
        f"<a@{'.'.join(['x' * 60] * 5)}>",
        f"<{'x' * 310}@example.com>",
        "<a\x00@example.com>",
        '<"a\r\nRCPT TO:<b"@example.com>',
        '<"a\nb"@example.com>',
        "<a\x7f@example.com>",
        "<a\x85@example.com>",
        "<a\u2028@example.com>",
        "<a\udcff@example.com>",
        '<"\u202e"@example.com>',
        "<a@example.com\u00a0>",
    ],
)
def test_what_is_no_path_is_refused(text: str) -> None:
    """Nothing that could end a line, open a comment or mean two addresses gets through."""
    assert parse_path(text) is None


def test_parameters_stand_behind_the_path() -> None:
    """They are separated by spaces, and kept as they were given."""
    assert parse_path("<a@example.com>  SIZE=10 BODY=8BITMIME") == Path("a@example.com", "SIZE=10 BODY=8BITMIME")
    assert parse_path("<a@example.com> ") == Path("a@example.com")


def test_a_path_knows_whether_it_needs_smtputf8() -> None:
    """Characters beyond ASCII count in the local part and in the domain."""
    assert not Path("a@example.com").international
    assert Path("ü@example.com").international
    assert Path("a@exämple.com").international


@pytest.mark.parametrize(
    ("words", "parameters"),
    [
        ([], {}),
        (["SIZE=10", "SMTPUTF8", "MT-PRIORITY=3"], {"SIZE": "10", "SMTPUTF8": True, "MT-PRIORITY": "3"}),
        (["AUTH=<>"], {"AUTH": "<>"}),
        (["SIZE=1", "SIZE=2"], None),
        (["SIZE="], None),
        (["=1"], None),
        (["-X=1"], None),
        (["A=b=c"], None),
        (["A=²"], None),
        (["A=\x01"], None),
    ],
)
def test_parameters_are_keywords_with_values(words: list[str], parameters: dict[str, str | bool] | None) -> None:
    """One that is malformed or given twice spoils the whole (RFC 5321 section 4.1.2)."""
    assert parse_parameters(words) == parameters
