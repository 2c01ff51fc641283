import io
import sys
from pathlib import Path

import pytest
from PIL import Image

from prolight.cli import run
from prolight.cli.artifacts import names, write
from prolight.cli.demo import BUNDLED_PICTURE, Shown, save, stages
from prolight.cli.doctor import Part, line, probe_folder, workers
from prolight.cli.submit import metadata
from prolight.cli.takeover import pid_of, repeated
from prolight.cli.worker import celery_command
from prolight.errors import InvalidInput
from prolight.pictures import ingest
from prolight.ports import Process, Snapshot
from prolight.schemas import Artifact, ExecutionResult, RunContext, Stage, State, Turn

MAX_BUNDLED_BYTES = 300 * 1024


def artifact(media_type: str) -> Artifact:
    return Artifact(id="a" * 64, media_type=media_type, size_bytes=1, width=1, height=1)


def test_a_worker_is_celery_on_the_queues_of_its_stages() -> None:
    program = celery_command("plan,critique", 8)
    assert program[:6] == [sys.executable, "-m", "celery", "-A", "workers", "worker"]
    assert program[6:] == ["-Q", "prolight.plan,prolight.critique", "-c", "8"]


def test_a_worker_takes_queue_names_as_well_as_stages() -> None:
    assert celery_command(" prolight.execute ", None)[-2:] == ["-Q", "prolight.execute"]


def test_a_worker_for_an_unknown_stage_is_refused_before_celery_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["worker", "-Q", "plan,paint"]) == 2
    assert "'paint' is no stage: take plan, critique, execute" in capsys.readouterr().err


def test_metadata_keeps_what_stands_behind_the_first_equals_sign() -> None:
    assert metadata(["sku=1", "query=a=b", "empty="]) == {"sku": "1", "query": "a=b", "empty": ""}


@pytest.mark.parametrize("pairs", [["sku"], ["=1"], ["a=1", "a=2"]])
def test_metadata_that_is_ambiguous_is_refused(pairs: list[str]) -> None:
    with pytest.raises(InvalidInput, match="--meta"):
        metadata(pairs)


def test_artifacts_are_named_by_run_and_type_alone() -> None:
    kinds = ("image/jpeg", "image/png", "image/webp", "../../evil")
    assert names("r-1", tuple(artifact(kind) for kind in kinds)) == [
        "r-1-1.jpg",
        "r-1-2.png",
        "r-1-3.webp",
        "r-1-4.bin",
    ]


def test_writing_a_picture_replaces_a_planted_link_and_not_its_target(tmp_path: Path) -> None:
    target, link = tmp_path / "precious", tmp_path / "r-1.jpg"
    target.write_bytes(b"precious")
    link.symlink_to(target)
    write(link, b"picture")
    assert (target.read_bytes(), link.read_bytes()) == (b"precious", b"picture")
    assert not link.is_symlink()


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write(tmp_path / "taken", b"picture")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_the_doctor_wants_a_live_worker_for_every_stage() -> None:
    planner = Process(id="a-1", slots=4, stages=(Stage.PLAN, Stage.CRITIQUE), pid=1)
    dead = Process(id="b-2", slots=4, stages=(Stage.EXECUTE,), pid=2, alive=False)
    found = {part.part: part for part in workers([planner, dead])}
    assert {name: part.ok for name, part in found.items()} == {
        "worker:plan": True, "worker:critique": True, "worker:execute": False,
    }  # fmt: skip
    assert found["worker:plan"].pid == 1
    assert "prolight worker -Q execute" in found["worker:execute"].fix


def test_the_doctor_leaves_no_trace_in_a_folder_that_works(tmp_path: Path) -> None:
    assert probe_folder(tmp_path / "new").ok
    assert list((tmp_path / "new").iterdir()) == []


def test_the_doctor_names_the_folder_that_cannot_be_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    part = probe_folder(blocked / "artifacts")
    assert not part.ok
    assert str(blocked) in part.detail
    assert "PROLIGHT_ARTIFACTS" in part.fix


def test_the_doctor_prints_the_fix_only_under_what_is_broken() -> None:
    assert "fix" not in line(Part("store", True, "fine", fix="mend it")).plain
    assert line(Part("store", False, "away", fix="mend it")).plain.splitlines()[1].strip() == "fix: mend it"
    assert line(Part("flower", False, "away", fix="mend it", warning=True)).plain.startswith("!")


def call(key: str | None, status: str) -> dict[str, object]:
    return {"key": key, "tool": "relight", "status": status, "seconds": 0.1}


def test_a_call_counts_as_repeated_only_when_it_was_done_and_came_again() -> None:
    assert repeated([call("a", "finished"), call("b", "cancelled"), call("b", "finished")], {"a"}) == 0
    assert repeated([call("a", "finished"), call("a", "received"), call("a", "finished")], {"a", "b"}) == 2


@pytest.mark.parametrize(("owner", "pid"), [("host-name-1a2b-4711", 4711), ("", None), ("host-abc", None)])
def test_the_pid_of_an_owner_is_what_stands_behind_its_last_dash(owner: str, pid: int | None) -> None:
    assert pid_of(owner) == pid


def test_the_stages_of_a_demo_tell_time_attempts_and_model() -> None:
    done = Turn(stage=Stage.PLAN, queued_at=1, started_at=2, finished_at=2.5, attempts=1, model="offline-rules")
    waits = Turn(stage=Stage.CRITIQUE, queued_at=3)
    assert stages([done, waits]) == [
        {"stage": "plan", "round": 0, "seconds": 0.5, "attempts": 1, "model": "offline-rules"},
        {"stage": "critique", "round": 0, "seconds": None, "attempts": 0, "model": ""},
    ]


def test_the_demo_names_its_files_by_what_they_hold(tmp_path: Path) -> None:
    png = io.BytesIO()
    Image.new("RGB", (8, 8), "grey").save(png, "PNG")
    asset, output = "b" * 64, artifact("image/webp")
    done = ExecutionResult(outputs=(output, output))
    run_ = RunContext(run_id="r", asset_id=asset, brief="warm", state=State.COMPLETED, exec_result=done)
    shown = Shown(Snapshot(run_, ver=1), [], {asset: png.getvalue(), output.id: b"webp"})
    files = save(shown, tmp_path)
    assert {path.name for path in files.values()} == {"before.png", "after.webp", "after-2.webp", "report.html"}
    assert (tmp_path / "before.png").read_bytes() == png.getvalue()


def test_the_bundled_picture_is_small_and_taken_as_it_is() -> None:
    content = BUNDLED_PICTURE.read_bytes()
    assert len(content) <= MAX_BUNDLED_BYTES
    taken = ingest(content)
    assert taken.media_type == "image/jpeg"
    assert max(taken.width, taken.height) == 1200


def test_the_bundled_picture_comes_with_author_and_licence() -> None:
    told = (BUNDLED_PICTURE.parent / "README.md").read_text()
    assert "Jebulon" in told
    assert "CC0 1.0" in told
