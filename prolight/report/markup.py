"""HTML that cannot be forgotten to be escaped: text is escaped, only `Markup` passes as it is."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

_VOID = {"img", "input", "meta"}
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | None | Iterable["Child"]
Attribute = str | float | bool | None


def text(value: str) -> Markup:
    """Escaped; what HTML cannot hold becomes U+FFFD."""
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(_UNPRINTABLE.sub("�", value)))


def join(children: Child) -> Markup:
    """Children in order; None is nothing."""
    match children:
        case None:
            return Markup()
        case str():
            return text(children)
        case _:
            return Markup("".join(map(join, children)))


def el(tag: str, *children: Child, **attributes: Attribute) -> Markup:
    """An element. `class_` is class, `aria_label` is aria-label; True is a bare attribute, None and False are none."""
    opening = Markup("".join(_attribute(name, value) for name, value in attributes.items()))
    if tag in _VOID:
        return Markup(f"<{tag}{opening}>")
    return Markup(f"<{tag}{opening}>{join(children)}</{tag}>")


def _attribute(name: str, value: Attribute) -> str:
    name = name.rstrip("_").replace("_", "-")
    match value:
        case None | False:
            return ""
        case True:
            return f" {name}"
        case float():
            return f' {name}="{value:.5g}"'
        case _:
            return f' {name}="{text(str(value))}"'
