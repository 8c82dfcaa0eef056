"""What a notice reads in the header section of a message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtp_gateway.content.fields import first_field, is_answer, message_id


@pytest.mark.parametrize(
    ("header", "answer"),
    [
        ("Auto-Submitted: auto-replied", True),
        ("AUTO-SUBMITTED:Auto-Replied (vacation)", True),
        ("Auto-Submitted:\r\n auto-replied; owner=x", True),
        ("Auto-Submitted: auto-notified", True),
        ("Auto-Submitted: auto-generated", False),
        ("Auto-Submitted: no", False),
        ("Auto-Submitted:", False),
        ("Precedence: bulk", False),
        ("List-Id: <list.example>", False),
        ('Content-Type: multipart/report; report-type=delivery-status; boundary="x"', True),
        ('Content-Type: Multipart/Report;\r\n\tboundary="x";\r\n\tReport-Type="delivery-status"', True),
        ("Content-Type: multipart/report; report-type=disposition-notification", True),
        ("Content-Type: multipart/report; report-type=feedback-report", False),
        ("Content-Type: multipart/mixed; report-type=delivery-status", False),
        ("Content-Type: text/plain", False),
        ("Subject: Auto-Submitted: auto-replied", False),
        ("", False),
    ],
)
def test_what_is_an_answer(header: str, *, answer: bool) -> None:
    """Notices, receipts and automatic replies; not what applications, lists and reporters of abuse send on their own."""
    assert is_answer(f"Subject: Hi\r\n{header}\r\n\r\nAuto-Submitted: auto-replied\r\n.\r\n".encode()) is answer


@given(st.binary(max_size=500))
def test_no_header_section_is_too_strange_to_be_read(octets: bytes) -> None:
    """Whatever a message is, it gets an answer to these questions."""
    assert is_answer(octets) in {True, False}
    assert first_field(octets, "subject").isascii()
    assert message_id(octets).isascii()
