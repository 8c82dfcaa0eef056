"""Names and labels: what may never change, and what may."""

from __future__ import annotations

from smtp_gateway import __version__
from smtp_gateway_operator.desired.volumes import claim_template
from smtp_gateway_operator.names import VERSION_LABEL, Key, children_selector, hash_of, metadata, pod_labels, selector
from tests.unit.operator.setting import OWNER, gateway


def test_a_hash_does_not_depend_on_the_order_of_keys() -> None:
    """Objects that say the same have one hash, at any depth; lists are ordered, and another value is another hash."""
    hashed = hash_of({"a": 1, "b": {"c": [1, 2], "d": None}})

    assert hashed == hash_of({"b": {"d": None, "c": [1, 2]}, "a": 1})
    assert hashed != hash_of({"a": 1, "b": {"c": [2, 1], "d": None}})
    assert hashed != hash_of({"a": 1, "b": {"c": [1, 2]}})


def test_children_are_labelled_with_the_version_but_not_pods_and_claims() -> None:
    """A release must not restart pods, and claim templates are immutable."""
    claim = claim_template(OWNER, gateway().spec)

    assert metadata(OWNER, "mail")["labels"][VERSION_LABEL] == __version__
    assert VERSION_LABEL not in pod_labels("mail")
    assert VERSION_LABEL not in claim["metadata"]["labels"]


def test_pods_are_found_by_both_selectors() -> None:
    """Services select pods by the few labels that never change; the operator lists them like any child."""
    labels = pod_labels("mail")

    assert selector("mail").items() <= labels.items()
    assert children_selector("mail").items() <= labels.items()
    assert not selector("mail").items() <= pod_labels("mail-two").items()


def test_a_key_is_spelled_as_usual() -> None:
    """Logs say `namespace/name`."""
    assert str(Key("apps", "mail")) == "apps/mail"
