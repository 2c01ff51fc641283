"""The Critic's rules on the colour of the light."""

from __future__ import annotations

from collections.abc import Iterator

from prolight.adapters.offline import fixes
from prolight.adapters.offline.case import Case, light
from prolight.adapters.offline.lights import number
from prolight.adapters.offline.reading import ROLES
from prolight.adapters.offline.remarks import advice, blocking
from prolight.adapters.offline.tools import RELIGHT, WHITE_BALANCE
from prolight.adapters.offline.vocabulary import NEUTRAL_KELVIN
from prolight.schemas import Finding

FAR_MIRED = 60.0
"""From neutral: between a quarter and a half CTO gel (42, 109). Of twenty photographs measured, 15 lie within 30."""


def look_against_the_brief(case: Case) -> Iterator[Finding]:
    """A picture balanced cool under a light that the brief wants warm, or the other way round."""
    for role, wishes in case.reading.lights.items():
        if "kelvin" not in wishes.chosen:
            continue
        words, wanted = case.reading.words(wishes.chosen["kelvin"]), wishes.number("kelvin") or NEUTRAL_KELVIN
        for step in case.steps(WHITE_BALANCE):
            look = number(step.params, "kelvin", NEUTRAL_KELVIN)
            if _warmth(look) * _warmth(wanted) < 0:
                message = f"the brief says “{words}” of the {role}, and {step.id} balances the picture to {look:g} K"
                fix = fixes.set_to("kelvin", NEUTRAL_KELVIN)
                yield blocking(f"colour.{step.id}.against-the-brief", message, step.id, fix)


def look_against_the_light(case: Case) -> Iterator[Finding]:
    for balanced in case.steps(WHITE_BALANCE):
        look = number(balanced.params, "kelvin", NEUTRAL_KELVIN)
        for step in case.steps(RELIGHT):
            for role in ROLES:
                kelvin = number(light(step, role), "kelvin", NEUTRAL_KELVIN)
                if abs(_warmth(look)) >= FAR_MIRED <= abs(_warmth(kelvin)) and _warmth(look) * _warmth(kelvin) < 0:
                    message = (
                        f"{balanced.id} makes the picture {look:g} K and the {role} is {kelvin:g} K: they work against "
                        f"each other; balance to {NEUTRAL_KELVIN} K, or give both the same warmth"
                    )
                    yield advice(f"colour.{step.id}.{role}-against-balance", message, step.id)


def more_of_a_cast(case: Case) -> Iterator[Finding]:
    """A warm light on a picture that is warm already, which nothing balances."""
    own = case.measured("kelvin")
    if own is None or abs(_warmth(own)) < FAR_MIRED or case.steps(WHITE_BALANCE):
        return
    for step in case.steps(RELIGHT):
        for role in ROLES:
            kelvin = number(light(step, role), "kelvin", NEUTRAL_KELVIN)
            if abs(_warmth(kelvin)) >= FAR_MIRED and _warmth(kelvin) * _warmth(own) > 0:
                message = (
                    f"the picture is at {own:g} K already, and a {role} of {kelvin:g} K adds to that: "
                    f"neutralise its white balance first"
                )
                yield advice(f"colour.{step.id}.{role}-on-a-cast", message, step.id)


def _warmth(kelvin: float) -> float:
    """Mired from neutral, the unit of correction gels; above 0 is warm."""
    return 1e6 / kelvin - 1e6 / NEUTRAL_KELVIN
