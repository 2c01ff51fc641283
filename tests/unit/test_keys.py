"""The list of keys on top of `prelude.lua`, as tests and `prolight audit` read it."""

from __future__ import annotations

import pytest

from prolight.adapters.keys import expires


@pytest.mark.parametrize(
    ("key", "when"),
    [
        ("prolight:run:r-1", "with its run"),
        ("prolight:journal:r-1", "with its run"),
        ("prolight:idem:abc", "with its run"),
        ("prolight:op:a1.2", "always"),
        ("prolight:aside:counts", "always"),
        ("prolight:due", ""),
        ("prolight:ready:plan", ""),
        ("prolight.plan", ""),
        ("prolight:what", None),
        ("prolightXplan", None),
    ],
)
def test_each_key_of_the_list_is_known_with_its_expiry(key: str, when: str | None) -> None:
    assert expires(key) == when
