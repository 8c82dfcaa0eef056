from __future__ import annotations

import pytest

from smtp_gateway.mail.identifier import ENTROPY, message_id

NOTHING, EVERYTHING = bytes(ENTROPY), bytes([255]) * ENTROPY


def test_it_is_letters_and_digits_of_one_length() -> None:
    """An identifier fits a header, a file name and a log line without quoting."""
    for now in (0.0, 1.7e9, 2e11):
        name = message_id(now, EVERYTHING)
        assert len(name) == 24
        assert name.isalnum()
        assert name.isascii()


def test_it_is_a_function_of_its_arguments() -> None:
    """The same moment and the same chance give the same identifier."""
    assert message_id(1.7e9, NOTHING) == message_id(1.7e9, NOTHING)
    assert message_id(1.7e9, NOTHING) != message_id(1.7e9, EVERYTHING)


def test_the_order_of_identifiers_is_the_order_of_arrival() -> None:
    """A later millisecond sorts behind, whatever chance added."""
    moments = [0.0, 0.001, 1.0, 1_700_000_000.0, 1_700_000_000.001, 1_800_000_000.0, 4_000_000_000.0]
    names = [message_id(now, EVERYTHING if index % 2 else NOTHING) for index, now in enumerate(moments)]
    assert names == sorted(names)


@pytest.mark.parametrize("entropy", [b"", bytes(ENTROPY - 1), bytes(ENTROPY + 1)])
def test_too_little_or_too_much_chance_is_a_mistake(entropy: bytes) -> None:
    """The length of an identifier is part of its promise."""
    with pytest.raises(ValueError, match="octets of entropy"):
        message_id(1.0, entropy)
