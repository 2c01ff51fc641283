"""docker-compose.yml and Procfile: what they say is checked, and what they start is started, without an engine."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from yaml import safe_load

from prolight.client import AsyncClient
from prolight.embedded.stack import BESIDES_DRAIN
from prolight.schemas import RunRequest, Stage, State
from prolight.settings import Settings
from tests.integration.containers import (
    COMPOSE_FILE,
    FLOWER_PORT,
    STORE_PORT,
    STUDIO_PORT,
    Machine,
    Missing,
    Part,
    interpolate,
    procfile,
    services,
)
from tests.integration.fleet import ROOT, WITHIN, until
from tests.integration.test_faults import picture

pytestmark = pytest.mark.integration

SCHEMA = ROOT / "tests" / "compose" / "compose-spec.json"
ROLES = {"planner": Stage.PLAN, "critic": Stage.CRITIQUE, "executor": Stage.EXECUTE}
OURS = {*ROLES, "studio", "flower"}
LOGIN = ("me", "a-secret")
FLOWER = {"FLOWER_BASIC_AUTH": ":".join(LOGIN)}
SERVICES = services(FLOWER)


class TestWhatTheFileSays:
    def test_it_is_valid_by_the_compose_specification(self) -> None:
        validator = Draft202012Validator(json.loads(SCHEMA.read_text()))
        written = safe_load(COMPOSE_FILE.read_text())
        assert [error.message for error in validator.iter_errors(written)] == []
        assert list(validator.iter_errors({"services": {"redis": {"build": {"dockerfile_inlin": ""}}}}))

    def test_it_has_the_store_the_tools_flower_and_a_service_for_each_stage(self) -> None:
        assert SERVICES.keys() == OURS | {"redis"}
        assert set(ROLES.values()) == set(Stage)

    def test_without_a_password_for_flower_nothing_starts(self) -> None:
        with pytest.raises(Missing, match="FLOWER_BASIC_AUTH: say who may see Flower"):
            services({})
        with pytest.raises(Missing):
            services({"FLOWER_BASIC_AUTH": ""})

    def test_addresses_are_those_of_the_services_unless_others_are_given(self) -> None:
        for role in ROLES:
            assert SERVICES[role]["environment"]["PROLIGHT_REDIS_URL"] == "redis://redis:6379/0"
            assert SERVICES[role]["environment"]["PROLIGHT_STUDIO_URL"] == "http://studio:8765/mcp"
        given = {"PROLIGHT_REDIS_URL": "rediss://elsewhere:6380/1", "PROLIGHT_STUDIO_URL": "http://other/mcp"}
        elsewhere = services({**FLOWER, **given})
        for role in ROLES:
            assert elsewhere[role]["environment"].items() >= given.items()
        assert elsewhere["flower"]["environment"]["PROLIGHT_REDIS_URL"] == given["PROLIGHT_REDIS_URL"]

    @pytest.mark.parametrize("role", ROLES)
    def test_nothing_of_a_role_is_there_only_once(self, role: str) -> None:
        assert not SERVICES[role].keys() & {"container_name", "hostname", "ports"}
        assert f"{role}@%h" in SERVICES[role]["command"]

    @pytest.mark.parametrize("role", ROLES)
    def test_a_worker_has_longer_to_stop_than_it_drains(self, role: str) -> None:
        grace = timedelta(seconds=int(SERVICES[role]["stop_grace_period"].removesuffix("s")))
        drain: float = Settings.model_fields["drain_seconds"].default
        assert grace > timedelta(seconds=drain) + BESIDES_DRAIN

    @pytest.mark.parametrize("role", ROLES)
    def test_a_worker_starts_after_store_and_tools_and_so_stops_before_them(self, role: str) -> None:
        assert SERVICES[role]["depends_on"] == {
            "redis": {"condition": "service_healthy"},
            "studio": {"condition": "service_healthy"},
        }

    @pytest.mark.parametrize("name", SERVICES)
    def test_flowers_password_is_flowers_alone_and_on_no_command_line(self, name: str) -> None:
        asked, given = SERVICES[name], {"FLOWER_BASIC_AUTH": ""} if "env_file" in SERVICES[name] else {}
        assert asked.get("environment", {}).items() >= (FLOWER if name == "flower" else given).items()
        assert LOGIN[1] not in asked["command"]

    def test_only_flower_is_published_and_only_on_this_machine(self) -> None:
        published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
        assert published == {"flower": ["127.0.0.1:5555:5555"]}

    @pytest.mark.parametrize("name", SERVICES)
    def test_a_container_may_do_no_more_than_it_needs(self, name: str) -> None:
        service = SERVICES[name]
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service.get("user") == "valkey" or "USER prolight" in service["build"]["dockerfile_inline"]

    def test_services_that_are_built_at_the_same_time_write_no_common_tag(self) -> None:
        assert [name for name, service in SERVICES.items() if "build" in service and "image" in service] == []

    def test_interpolation_is_that_of_compose(self) -> None:
        written = {"a": ["$$HOME", "${A}", "${B:-two}", "${A:-two}", "${E:-}", 3]}
        assert interpolate(written, {"A": "one", "E": ""}) == {"a": ["$HOME", "one", "two", "one", "", 3]}


class TestTheImage:
    LINES: tuple[str, ...] = tuple(SERVICES["planner"]["build"]["dockerfile_inline"].splitlines())

    def instructions(self, name: str) -> list[str]:
        return [line.removeprefix(f"{name} ") for line in self.LINES if line.startswith(f"{name} ")]

    @property
    def sources(self) -> list[str]:
        return [source for line in self.instructions("COPY") for source in line.split()[:-1]]

    def install(self) -> list[str]:
        return [line for line in self.instructions("RUN") if line.startswith("uv sync")]

    def test_every_service_of_ours_is_built_the_same_way(self) -> None:
        assert len({SERVICES[name]["build"]["dockerfile_inline"] for name in OURS}) == 1

    def test_it_installs_extras_that_exist(self) -> None:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        for line in self.install():
            assert set(re.findall(r"--extra (\w+)", line)) == {"anthropic", "monitor", "studio"} <= extras.keys()

    def test_it_copies_what_exists_and_only_that_reaches_the_builder(self) -> None:
        assert [source for source in self.sources if not (ROOT / source).exists()] == []
        everything, *kept = (line for line in (ROOT / ".dockerignore").read_text().splitlines() if "__" not in line)
        assert everything == "*"
        assert {line.removeprefix("!") for line in kept} == set(self.sources)
        assert not any(fnmatch(".env", name) for name in self.sources)

    @pytest.mark.heavy  # it downloads what it installs
    def test_what_it_installs_has_every_program_that_the_services_start(self, tmp_path: Path) -> None:
        for source in self.sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, tmp_path / source)
            else:
                shutil.copy(ROOT / source, tmp_path / source)
        outside = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
        for line in self.install():
            subprocess.run(shlex.split(line), cwd=tmp_path, env=outside, check=True)
        programs = {shlex.split(SERVICES[name]["command"])[0] for name in OURS}
        assert programs == {"celery", "python"}
        for argv in (["celery", "-A", "workers", "flower", "--help"], ["python", "-m", "prolight.studio", "--help"]):
            path = f"{tmp_path / '.venv' / 'bin'}:{os.environ['PATH']}"
            subprocess.run(argv, cwd="/", env={"PATH": path, "HOME": "/nowhere"}, check=True, capture_output=True)


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """`docker compose up --wait --scale executor=2`, with one slot a worker, so that two runs need two executors."""
    with Machine(tmp_path_factory.mktemp("compose"), **FLOWER, PROLIGHT_SLOTS="1") as machine:
        asyncio.run(bring_up(machine))
        yield machine


async def bring_up(machine: Machine) -> None:
    """In the order of `depends_on`."""
    await machine.serves_store(machine.start_service("redis"))
    studio = machine.start_service("studio")
    flower = machine.start_service("flower")
    await machine.healthy(studio)
    workers = [*map(machine.start_service, ROLES), machine.start_service("executor", 2)]
    async with machine.client() as client:
        await machine.announced(client, *workers)
    await machine.healthy(flower)


class TestWhatComposeStarts:
    async def test_the_store_loses_nothing_that_was_accepted(self, composed: Machine) -> None:
        async with composed.client() as client:
            assert (await client.durability()).full

    @pytest.mark.needs_debian
    async def test_the_stores_own_healthcheck_finds_it_well(self, composed: Machine) -> None:
        port = composed.ports[STORE_PORT]
        check = SERVICES["redis"]["healthcheck"]["test"].replace("valkey-cli", f"redis-cli -p {port}")
        assert subprocess.run(check, shell=True, check=False).returncode == 0

    async def test_every_healthcheck_of_ours_finds_its_part_well(self, composed: Machine) -> None:
        checked = [part for name, part in composed.parts.items() if name != "redis-1"]
        assert {part.name.partition("-")[0] for part in checked} == OURS
        await asyncio.gather(*map(composed.healthy, checked))

    async def test_a_healthcheck_finds_a_worker_ill_that_is_not_there(self, composed: Machine) -> None:
        part = composed.parts["executor-1"]
        elsewhere = {**part.environment, "PROLIGHT_HEALTH": str(composed.home / "executor-3")}
        asked = await asyncio.create_subprocess_shell(part.healthcheck, env=elsewhere, stderr=asyncio.subprocess.PIPE)
        _, said = await asked.communicate()
        assert (asked.returncode, said) == (1, b"no worker of this host says anything\n")

    async def test_every_worker_has_a_name_of_its_own_that_says_its_role(self, composed: Machine) -> None:
        named = await nodes(composed.parts["flower-1"])
        assert named == {"planner@planner-1", "critic@critic-1", "executor@executor-1", "executor@executor-2"}

    async def test_runs_complete_with_a_picture_and_both_executors_work_on_them(self, composed: Machine) -> None:
        async with composed.client() as client:
            executors = {process.id for process in await client.store.processes() if process.stages == (Stage.EXECUTE,)}
            assert len(executors) == 2
            await submit(client, count=8)
            owners: set[str] = set()

            async def all_ended() -> bool:
                runs = await client.list()
                owners.update(run.owner for run in runs if run.run.state is State.EXECUTING and run.claim_id)
                return all(run.activity == "ended" for run in runs)

            await until(all_ended, what="every run has ended")
            assert owners == executors
            await assert_completed_with_pictures(client, count=8)

    async def test_the_studio_answers_to_the_name_of_its_service_and_to_no_foreign_one(self, composed: Machine) -> None:
        calls, port = composed.url(STUDIO_PORT, "/calls"), composed.ports[STUDIO_PORT]
        async with httpx.AsyncClient() as http:
            assert (await http.get(calls, headers={"Host": f"studio:{port}"})).status_code == 200
            assert (await http.get(calls, headers={"Host": "elsewhere"})).status_code == 421

    async def test_flower_wants_the_password_and_only_shows(self, composed: Machine) -> None:
        await assert_flower_is_locked(composed)

    async def test_a_worker_ends_by_itself_when_it_is_asked_to(self, composed: Machine) -> None:
        part = composed.parts["executor-2"]
        part.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(part.process.wait, WITHIN.total_seconds()) == 0, composed.log(part)


class TestTheProcfile:
    def test_it_has_the_parts_of_the_compose_file_and_the_same_options(self) -> None:
        lines = procfile()
        assert lines.keys() == SERVICES.keys()
        for role, stage in ROLES.items():
            assert (
                lines[role] == f"exec celery -A workers worker --loglevel INFO -Q {stage.queue} --hostname {role}-$$@%h"
            )
            assert SERVICES[role]["command"] == lines[role].removeprefix("exec ").replace("-$$@", "@")
        assert lines["flower"].endswith(SERVICES["flower"]["command"].partition("--read_only")[2])
        assert lines["redis"].endswith(SERVICES["redis"]["command"].partition("--appendonly")[2])

    async def test_what_it_starts_completes_runs_with_pictures_and_locks_flower(self, tmp_path: Path) -> None:
        with Machine(tmp_path, **FLOWER) as machine:
            await machine.serves_store(machine.start_line("redis"))
            machine.start_line("studio")
            machine.start_line("flower")
            workers = [*map(machine.start_line, ROLES), machine.start_line("executor", 2)]
            async with machine.client() as client:
                assert (await client.durability()).full
                await machine.announced(client, *workers)
                assert len({node_name(part) for part in workers}) == len(workers)
                await submit(client, count=2)

                async def all_ended() -> bool:
                    return all(run.activity == "ended" for run in await client.list())

                await until(all_ended, what="every run has ended")
                await assert_completed_with_pictures(client, count=2)
            await until(lambda: answers(machine.url(FLOWER_PORT, "/healthcheck")), what="Flower answers")
            await assert_flower_is_locked(machine)

    async def test_without_a_password_flower_says_what_it_wants(self, tmp_path: Path) -> None:
        with Machine(tmp_path) as machine:
            part = machine.start_line("flower")
            assert await asyncio.to_thread(part.process.wait, WITHIN.total_seconds()) != 0
            assert "say who may see it, as user:password" in machine.log(part)


async def submit(client: AsyncClient, *, count: int) -> None:
    """So many runs on one picture, all there before the first can have ended."""
    run_id = await client.submit(picture(), "warm key from the left, white background")
    asset = (await client.get(run_id)).run.picture
    request = RunRequest(picture_id=asset, brief="warm key from the left, white background")
    await asyncio.gather(*(client.enqueue(request) for _ in range(1, count)))


async def assert_completed_with_pictures(client: AsyncClient, *, count: int) -> None:
    runs = [snapshot.run for snapshot in await client.list()]
    assert [(run.state, run.error) for run in runs] == [(State.COMPLETED, None)] * count
    for run in runs:
        assert run.exec_result and run.exec_result.outputs
        for output in run.exec_result.outputs:
            assert await client.download(output)


async def nodes(part: Part) -> set[str]:
    """Celery's names of all workers that answer, asked for where the part runs."""
    asked = await asyncio.create_subprocess_exec(
        *("celery", "-A", "workers", "inspect", "ping", "--json", "--timeout", "2"),
        env=part.environment,
        stdout=asyncio.subprocess.PIPE,
    )
    answer, _ = await asked.communicate()
    return set(json.loads(answer))


def node_name(part: Part) -> str:
    """What a worker of the Procfile was told to be called."""
    args = ["ps", "-o", "args=", "-ww", "-p", str(part.pid)]
    return subprocess.run(args, check=True, capture_output=True, text=True).stdout.partition("--hostname ")[2].strip()


async def answers(url: str) -> Any:
    try:
        async with httpx.AsyncClient() as http:
            return (await http.get(url)).is_success
    except httpx.TransportError:
        return False


async def assert_flower_is_locked(machine: Machine) -> None:
    async with httpx.AsyncClient(base_url=machine.url(FLOWER_PORT, "")) as http:
        assert (await http.get("/workers")).status_code == 401
        assert (await http.get("/workers", auth=(LOGIN[0], "guessed"))).status_code == 401
        assert (await http.get("/workers", auth=LOGIN)).status_code == 200
        revoke = await http.post("/api/task/revoke/some-task", auth=LOGIN)
        assert revoke.status_code == 403
