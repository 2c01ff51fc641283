"""The run report: everything that a person asks of a run, in one file that asks nothing of anybody."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from prolight.report import render_report
from prolight.report.diagram import CENTRE_X, CENTRE_Y, kelvin_colour
from prolight.schemas import (
    Approval,
    Artifact,
    Critique,
    ExecutionResult,
    Finding,
    Lock,
    Plan,
    RunContext,
    RunError,
    Stage,
    State,
    Step,
    StepResult,
    Turn,
    Usage,
    Verdict,
)


def photo(colour: str, size: tuple[int, int] = (60, 40)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "JPEG")
    return file.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def artifact(content: bytes) -> Artifact:
    return Artifact(id=sha256(content), media_type="image/jpeg", size_bytes=len(content), width=60, height=40)


BEFORE, BETWEEN, AFTER = photo("gray"), photo("orange"), photo("white")
PICTURES = {sha256(content): content for content in (BEFORE, BETWEEN, AFTER)}
KEY = {"azimuth_deg": -45, "elevation_deg": 30, "ev": 0.7, "kelvin": 3800, "softness": 0.8}
RIM = {"azimuth_deg": 170, "elevation_deg": 50, "ev": -1, "kelvin": 9000, "softness": 0.1}
STEPS = (
    Step(id="light", tool="studio.relight", params={"picture": "$input", "key": KEY, "rim": RIM}, why="warm key"),
    Step(id="backdrop", tool="studio.replace_background", params={"picture": "$light", "color": "#fafafa"}),
    Step(id="polish", tool="bria.enhance", params={"picture": "$backdrop"}, estimated_cost_usd=Decimal("0.04")),
    Step(id="final", tool="studio.export", params={"picture": "$polish", "format": "jpeg", "long_side_px": 2000}),
)
FINDINGS = (
    Finding(id="range.rim", severity="blocking", message="rim too bright", step="light", fix="lower it"),
    Finding(id="mask", severity="advice", message="edge is doubtful", step="backdrop"),
    Finding(id="brief", severity="advice", message="one word was left over"),
)


def finished_run(**changes: Any) -> RunContext:
    results = (
        StepResult(id="light", status="done", artifact=artifact(BETWEEN), started_at=103.0, finished_at=103.6),
        StepResult(id="backdrop", status="done", started_at=103.6, finished_at=104.0),
        StepResult(id="polish", status="done", started_at=104.0, finished_at=109.0, cost_usd=Decimal("0.05")),
        StepResult(id="final", status="done", artifact=artifact(AFTER), started_at=109.0, finished_at=109.5),
    )
    lock = Lock(
        plan_hash="a" * 64,
        input_sha256=sha256(BEFORE),
        model_version="offline-rules-2",
        prompt_hash="b" * 64,
        seed=7,
        tool_pins={"studio.relight": "c" * 64},
        policy_version="policy-3",
        prolight_version="0.1.0",
    )
    fields: dict[str, Any] = {
        "run_id": "run-1",
        "asset_id": sha256(BEFORE),
        "brief": "warm key from the left, and sparkle",
        "state": State.COMPLETED,
        "plan": Plan(steps=STEPS, summary="Light it warmly.", not_understood=("sparkle",)),
        "critique": Critique(verdict=Verdict.ACCEPT, findings=FINDINGS),
        "exec_result": ExecutionResult(steps=results, outputs=(artifact(AFTER),)),
        "lock": lock,
        "turns": (
            Turn(stage=Stage.PLAN, queued_at=100.0, started_at=100.5, finished_at=102.0, model="offline-rules-2"),
            Turn(stage=Stage.EXECUTE, queued_at=102.0, started_at=103.0, finished_at=110.0, attempts=2),
        ),
        "usage": Usage(input_tokens=1200, output_tokens=34),
        "created_at": 100.0,
        "finished_at": 110.0,
    }
    return RunContext(**(fields | changes))


def run_of(*steps: Step, **changes: Any) -> RunContext:
    return finished_run(plan=Plan(steps=steps), exec_result=None, **changes)


class Page(HTMLParser):
    """The page as a browser would see it: elements with their attributes, and the text outside style and script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in {"img", "input", "meta"}:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, "elements are closed in order"

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self._open):
            self.text += data

    def having(self, attribute: str) -> list[str]:
        return [value for _, attributes in self.elements if (value := attributes.get(attribute)) is not None]

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page_of(run: RunContext, events: list[dict[str, Any]] | None = None) -> Page:
    return Page(render_report(run, events or [], PICTURES))


def at(page: Page, role: str) -> tuple[float, float]:
    """Where the plan view draws a light."""
    place = next(light for light in page.named("g") if light.get("data-light") == role and "data-x" in light)
    return float(place["data-x"] or "nan"), float(place["data-y"] or "nan")


class TestSafety:
    ATTACK = """</style></script><script>alert(1)</script><img src=x onerror="alert(1)">'"&amp;<svg/onload=alert(1)>"""

    def attacked_page(self) -> Page:
        attack = self.ATTACK
        run = finished_run(
            brief=attack,
            state=State.FAILED,
            metadata={attack: attack},
            plan=Plan(
                steps=(
                    Step(id="a", tool="studio.relight", params={"key": attack, attack: attack}, why=attack),
                    Step(id="b", tool="studio.export", params={"format": attack, "picture": attack, "color": attack}),
                    Step(id="c", tool="x.y", params={attack: [attack, {attack: attack}]}),
                ),
                summary=attack,
                not_understood=(attack,),
            ),
            critique=Critique(
                verdict=Verdict.REJECT,
                findings=(
                    Finding(id="f", severity="advice", message=attack, fix=attack, step="a"),
                    Finding(id="g", severity="blocking", message=attack, fix=attack, step=attack),
                ),
            ),
            exec_result=ExecutionResult(
                steps=(StepResult(id=attack, status="failed", started_at=103.0),),
                outputs=(artifact(AFTER).evolve(media_type=attack),),
            ),
            error=RunError(code=attack, message=attack, step=attack),
            lock=Lock(
                plan_hash=attack,
                input_sha256=attack,
                model_version=attack,
                prompt_hash=attack,
                seed=1,
                tool_pins={attack: attack},
                policy_version=attack,
                prolight_version=attack,
            ),
            turns=(Turn(stage=Stage.PLAN, queued_at=1.0, model=attack),),
            asset_id=attack,
        )
        return page_of(run, [{"seq": 1, "type": attack, attack: attack, "payload": {attack: attack}}])

    def test_attack_texts_in_every_field_stay_text(self) -> None:
        page = self.attacked_page()
        assert len(page.named("script")) == len(page.named("style")) == 1
        assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
        assert {source[:11] for source in page.having("src")} == {"data:image/"}
        assert page.text.count("<script>alert(1)</script>") > 20

    @pytest.mark.parametrize("approval", ["plan", "result"])
    def test_attack_texts_in_an_approval_stay_text(self, approval: Any) -> None:
        asked = Approval(subject=approval, reasons=(self.ATTACK,), asked_at=104.0, until=104.0)
        page = page_of(finished_run(state=State.AWAITING_APPROVAL, approval=asked))
        assert self.ATTACK in page.text
        assert len(page.named("script")) == 1

    def test_no_address_leads_out_of_the_file(self) -> None:
        html = render_report(finished_run(), [], PICTURES)
        page = Page(html)
        assert all(source.startswith("data:image/jpeg;base64,") for source in page.having("src"))
        assert not page.having("href")
        assert not page.having("action")
        assert not page.having("srcset")
        assert not page.having("style"), "the policy would ignore them"
        assert not re.search(r"(?i)https?:|url\(|@import|fetch|XMLHttp|sendBeacon", html)

    def test_the_policy_lets_only_our_own_style_and_script_in(self) -> None:
        html = render_report(finished_run(), [], PICTURES)
        policy = next(meta["content"] or "" for meta in Page(html).named("meta") if "http-equiv" in meta)
        assert policy.startswith("default-src 'none'; img-src data:;")
        for tag in ("style", "script"):
            (own,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
            assert f"{tag}-src 'sha256-{base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()}'" in policy

    @given(text=st.text(max_size=40))
    def test_any_text_gives_a_page_that_can_be_written(self, text: str) -> None:
        html = render_report(run_of(Step(id="a", tool="x.y", params={"p": text})), [{"type": text, "p": text}], {})
        html.encode()
        assert len(Page(html).named("script")) == 1

    def test_lone_surrogates_and_control_characters_are_replaced(self) -> None:
        html = render_report(finished_run(), [{"type": "a\ud800b\x00c\x1bd"}], {})
        assert "a�b�c�d" in html


class TestPhotographs:
    def test_come_before_everything_but_the_brief(self) -> None:
        html = render_report(finished_run(), [], PICTURES)
        assert html.index("<h1") < html.index("<img") < html.index("<h2")

    def test_before_and_after_lie_on_each_other_under_a_labelled_slider(self) -> None:
        page = page_of(finished_run())
        (slider,) = page.named("input")
        assert slider["type"] == "range"
        assert slider["aria-label"]
        sources = [base64.b64decode(source.partition(",")[2]) for source in page.having("src")]
        assert sources[:2] == [AFTER, BEFORE]

    def test_are_embedded_once_each(self) -> None:
        sources = page_of(finished_run()).having("src")
        assert len(sources) == len(set(sources)) == 3

    def test_all_have_a_text_and_a_size(self) -> None:
        assert all(
            image["alt"] and (image["width"], image["height"]) == ("60", "40")
            for image in page_of(finished_run()).named("img")
        )

    def test_of_another_shape_stand_side_by_side(self) -> None:
        square = photo("white", (40, 40))
        run = finished_run(exec_result=ExecutionResult(outputs=(artifact(square),)))
        page = Page(render_report(run, [], PICTURES | {sha256(square): square}))
        assert not page.named("input")
        assert len(page.named("img")) == 2

    def test_further_results_follow(self) -> None:
        run = finished_run(exec_result=ExecutionResult(outputs=(artifact(AFTER), artifact(BETWEEN))))
        assert "Result 2" in page_of(run).text

    @pytest.mark.parametrize("pictures", [{}, {sha256(BEFORE): b"<svg onload=alert(1)>", sha256(AFTER): b""}])
    def test_that_are_absent_or_no_pictures_are_said_to_be(self, pictures: dict[str, bytes]) -> None:
        page = Page(render_report(finished_run(), [], pictures))
        assert page.text.count("is not part of this report") == 2
        assert not page.named("img")

    def test_of_a_run_without_result_show_the_input_alone(self) -> None:
        page = page_of(finished_run(exec_result=None, state=State.FAILED))
        assert len(page.named("img")) == 1
        assert not page.named("input")


class TestPlan:
    def test_says_each_light_in_words_and_numbers(self) -> None:
        text = page_of(finished_run()).text
        assert "Key light from the left, 45°, 30° high, +0.7 EV, 3800 K, soft" in text
        assert "Rim light from behind right, 170°, 50° high, −1.0 EV, 9000 K, hard" in text

    @pytest.mark.parametrize(
        ("azimuth_deg", "words"),
        [
            (0, "from the camera,"),
            (-90, "from the left, 90°"),
            (60.4, "from the right, 60°"),
            (-135, "from behind left, 135°"),
            (180, "from behind,"),
            (-180, "from behind,"),
        ],
    )
    def test_says_where_a_light_comes_from(self, azimuth_deg: float, words: str) -> None:
        step = Step(id="a", tool="studio.relight", params={"key": KEY | {"azimuth_deg": azimuth_deg}})
        assert f"Key light {words}" in page_of(run_of(step)).text

    def test_says_what_other_steps_do(self) -> None:
        text = page_of(finished_run()).text
        assert "On the picture of step light, colour #fafafa" in text
        assert "On the picture of step polish, as JPEG, long side 2000 px" in text
        assert "bria.enhance" in text

    def test_says_what_a_step_serves_costs_and_took(self) -> None:
        text = page_of(finished_run()).text
        assert "Serves: warm key" in text
        assert "done in 5.00 s · $0.05 (estimated $0.04)" in text

    def test_says_which_words_were_not_understood(self) -> None:
        assert re.search(r"Not understood[^“]*sparkle", page_of(finished_run()).text)

    def test_puts_findings_next_to_the_step_they_name(self) -> None:
        html = render_report(finished_run(), [], PICTURES)
        light, backdrop, polish = (html.index(f'id="step-{name}"') for name in ("light", "backdrop", "polish"))
        assert light < html.index("rim too bright") < backdrop < html.index("edge is doubtful") < polish
        assert html.index("one word was left over") > html.index('id="step-final"')

    def test_tells_blocking_from_advice_in_words(self) -> None:
        text = page_of(finished_run()).text
        assert "■ Blocking rim too bright Fix: lower it" in text
        assert "○ Advice edge is doubtful" in text

    @pytest.mark.parametrize("verdict", list(Verdict))
    def test_says_the_verdict(self, verdict: Verdict) -> None:
        words = {Verdict.ACCEPT: "accepts", Verdict.REVISE: "sends this plan back", Verdict.REJECT: "rejects"}
        assert f"The critic {words[verdict]}" in page_of(finished_run(critique=Critique(verdict=verdict))).text

    def test_without_steps_says_so(self) -> None:
        assert "The plan has no steps" in page_of(run_of()).text

    @pytest.mark.parametrize(
        "key",
        [
            None,
            "left",
            7,
            {},
            KEY | {"ev": "much"},
            KEY | {"azimuth_deg": 1e300},
            KEY | {"kelvin": 0},
            KEY | {"ev": True},
        ],
    )
    def test_shows_what_is_no_light_as_it_is_written_and_does_not_draw_it(self, key: Any) -> None:
        page = page_of(run_of(Step(id="a", tool="studio.relight", params={"key": key, "exposure_ev": "much"})))
        assert "From above" not in page.text
        assert ("Key: " in page.text) == (key is not None)


class TestLightingDiagram:
    def lit(self, azimuth_deg: float, **values: float) -> Page:
        key = KEY | {"azimuth_deg": azimuth_deg} | values
        return page_of(run_of(Step(id="a", tool="studio.relight", params={"key": key})))

    def test_key_from_the_left_stands_left_of_the_subject(self) -> None:
        x, _ = at(self.lit(-90), "key")
        assert x < CENTRE_X

    def test_key_from_the_right_stands_right_of_the_subject(self) -> None:
        x, _ = at(self.lit(45), "key")
        assert x > CENTRE_X

    @pytest.mark.parametrize("azimuth_deg", [150, -150, 180, -180])
    def test_behind_is_above_the_subject(self, azimuth_deg: float) -> None:
        _, y = at(self.lit(azimuth_deg), "key")
        assert y < CENTRE_Y

    def test_front_is_below_the_subject_where_the_camera_stands(self) -> None:
        x, y = at(self.lit(0), "key")
        assert (x, y > CENTRE_Y) == (CENTRE_X, True)

    def test_lights_on_one_azimuth_do_not_hide_each_other(self) -> None:
        page = page_of(run_of(Step(id="a", tool="studio.relight", params={"key": KEY, "fill": KEY, "rim": KEY})))
        assert len({at(page, role) for role in ("key", "fill", "rim")}) == 3

    @pytest.mark.parametrize("azimuths", [(0, 0, 180), (-10, 0, 10), (0, 0, 0), (-45, 5, 150), (45, 45, 60)])
    def test_labels_keep_clear_of_each_other_and_of_the_camera(self, azimuths: tuple[float, float, float]) -> None:
        params = {
            role: KEY | {"azimuth_deg": azimuth} for role, azimuth in zip(("key", "fill", "rim"), azimuths, strict=True)
        }
        page = page_of(run_of(Step(id="a", tool="studio.relight", params=params)))
        labels = [label for label in page.named("text") if label.get("class") != "quiet"][:3]
        places = [(float(label["x"] or "nan"), float(label["y"] or "nan")) for label in labels]
        for number, (x, y) in enumerate(places):
            assert abs(x - CENTRE_X) > 40 or y < CENTRE_Y
            assert all(abs(x - other_x) > 60 or abs(y - other_y) > 30 for other_x, other_y in places[:number])

    def test_higher_lights_stand_higher(self) -> None:
        heights = []
        for elevation_deg in (-30, 0, 45, 90):
            page = self.lit(-45, elevation_deg=elevation_deg)
            side = next(light for light in page.named("g") if "data-light" in light and "data-x" not in light)
            heights.append(float(side["data-y"] or "nan"))
        assert heights == sorted(heights, reverse=True)
        assert len(set(heights)) == 4

    def test_softer_lights_are_wider(self) -> None:
        widths = []
        for softness in (0.0, 0.5, 1.0):
            lamps = [lamp for lamp in self.lit(-45, softness=softness).named("rect") if lamp.get("class") == "lamp"]
            widths.append(float(lamps[0]["width"] or "nan"))
        assert widths == sorted(widths)
        assert len(set(widths)) == 3

    def test_is_described_for_those_who_do_not_see_it(self) -> None:
        page = page_of(finished_run())
        assert {drawing.get("role") for drawing in page.named("svg") if drawing.get("class") == "diagram"} == {"img"}
        assert page.text.count("key light from the left, 45°") == 2

    def test_is_drawn_for_each_relight_step(self) -> None:
        steps = [Step(id=name, tool="studio.relight", params={"key": KEY}) for name in ("one", "two")]
        assert page_of(run_of(*steps)).text.count("From above") == 2

    @pytest.mark.parametrize(
        ("kelvin", "warmer_than_white"), [(1700, True), (3200, True), (6504, None), (12_000, False)]
    )
    def test_colours_run_from_warm_to_cool(self, kelvin: float, warmer_than_white: bool | None) -> None:
        red, blue = int(kelvin_colour(kelvin)[1:3], 16), int(kelvin_colour(kelvin)[5:7], 16)
        assert (abs(red - blue) <= 8) if warmer_than_white is None else ((red > blue) == warmer_than_white)

    @given(kelvin=st.floats(min_value=0.1, max_value=100_000))
    def test_every_kelvin_has_a_colour(self, kelvin: float) -> None:
        assert re.fullmatch("#[0-9a-f]{6}", kelvin_colour(kelvin))


class TestTime:
    def test_tells_waiting_from_working_in_seconds(self) -> None:
        text = page_of(finished_run()).text
        assert "plan0.50 s waiting, 1.50 s working" in text
        assert "execute (2 attempts)1.00 s waiting, 7.00 s working" in text
        assert "polish5.00 s working" in text

    def test_bars_share_one_clock_and_stay_inside(self) -> None:
        bars = [bar for bar in page_of(finished_run()).named("rect") if bar.get("class") in {"working", "waiting"}]
        spans = [(float(bar["x"] or "nan"), float(bar["width"] or "nan")) for bar in bars]
        assert len(spans) == 8
        assert all(x >= 0 and x + width <= 1000.01 for x, width in spans)
        assert spans[1] == (50, 150), "planning worked from 0.5 s to 2 s of 10 s"

    def test_shows_how_long_a_person_was_awaited(self) -> None:
        asked = Approval(
            subject="plan", reasons=("cost",), asked_at=102.0, until=102.0, decided_at=7400.0, decision="approved"
        )
        assert "a person, about the plan2 h 1 min waiting" in page_of(finished_run(approval=asked)).text

    def test_of_a_run_that_has_not_begun_is_left_out(self) -> None:
        page = page_of(RunContext(run_id="r", asset_id=sha256(BEFORE), brief="warm"))
        assert "Time" not in page.text
        assert "Planning" in page.text


class TestRecord:
    def test_names_what_the_plan_was_made_with(self) -> None:
        text = page_of(finished_run()).text
        for fact in (
            "run-1",
            "offline-rules-2",
            "a" * 64,
            "b" * 64,
            "c" * 64,
            "policy-3",
            sha256(AFTER),
            "1,200 in, 34 out",
        ):
            assert fact in text

    def test_folds_the_events_away(self) -> None:
        page = page_of(finished_run(), [{"seq": 1, "type": "status", "payload": {"state": "PLANNING"}}])
        assert "open" not in page.named("details")[0]
        assert "Events (1)" in page.text
        assert '{"state": "PLANNING"}' in page.text

    def test_says_why_a_run_failed(self) -> None:
        error = RunError(code="tool_failed", message="no usable mask", stage=Stage.EXECUTE, step="backdrop")
        page = page_of(finished_run(state=State.FAILED, error=error))
        assert "tool_failed (execute, backdrop): no usable mask" in page.text
        assert "Failed" in page.text

    @pytest.mark.parametrize(
        ("decision", "words"), [(None, "asked to approve the result"), ("expired", "was not approved")]
    )
    def test_says_that_a_person_is_asked(self, decision: Any, words: str) -> None:
        asked = Approval(subject="result", reasons=("costs money",), asked_at=104.0, until=104.0, decision=decision)
        text = page_of(finished_run(state=State.AWAITING_APPROVAL, approval=asked)).text
        assert words in text
        assert "costs money" in text

    @pytest.mark.parametrize("state", list(State))
    def test_every_state_has_words(self, state: State) -> None:
        assert page_of(finished_run(state=state)).text.strip()

    def test_is_the_same_for_the_same_run(self) -> None:
        assert render_report(finished_run(), [], PICTURES) == render_report(finished_run(), [], PICTURES)


def test_every_id_that_is_referred_to_exists_once() -> None:
    page = page_of(run_of(*STEPS, Step(id="again", tool="studio.relight", params={"key": KEY})))
    ids = page.having("id")
    referred = {
        name
        for attribute in ("aria-labelledby", "aria-describedby", "for")
        for names in page.having(attribute)
        for name in names.split()
    }
    assert len(ids) == len(set(ids))
    assert referred
    assert referred <= set(ids)
