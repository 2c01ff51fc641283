"""What a store's URL may say, what redis-py and kombu are told, and that no password is ever shown."""

from __future__ import annotations

import logging
import socket
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.connection import Connection
from redis.connection import parse_url

from prolight.adapters import redis_link
from prolight.adapters.redis_link import RedisLink
from prolight.adapters.redis_url import RedisAddress, parse, safe_url
from prolight.errors import InvalidInput, StoreUnavailable
from prolight.settings import Settings
from tests.integration.tls import Authority

VERIFIED = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}


@pytest.mark.parametrize(
    ("url", "for_redis_py", "for_kombu"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("REDIS://host", "redis://host/0", "redis://host/0"),
        ("redis://host/?db=3", "redis://host/3", "redis://host/3"),
        ("redis://host?password=a%2Fb", "redis://:a%2Fb@host/0", "redis://:a%2Fb@host/0"),
        ("redis://[::1]:7/1", "redis://[::1]:7/1", "redis://[::1]:7/1"),
        ("rediss://me:p%40w@host:6380/2", "rediss://me:p%40w@host:6380/2", "rediss://me:p%40w@host:6380/2"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock?db=0", "redis+socket:///run/redis.sock"),
        ("unix:///a.sock?db=3", "unix:///a.sock?db=3", "redis+socket:///a.sock?virtual_host=3"),
        ("redis+socket:///a.sock?virtual_host=3", "unix:///a.sock?db=3", "redis+socket:///a.sock?virtual_host=3"),
        ("unix://:p;w@/a;b.sock", "unix://:p%3Bw@/a%3Bb.sock?db=0", "redis+socket://:p%3Bw@/a%3Bb.sock"),
    ],
)
def test_each_library_is_told_the_same_place_in_its_own_form(url: str, for_redis_py: str, for_kombu: str) -> None:
    address = parse(url)
    assert (address.url, address.broker_url) == (for_redis_py, for_kombu)
    assert parse(address.url) == parse(address.broker_url) == address


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sentinel://one:26379", "Sentinel is not supported yet"),
        ("redis+sentinel://one", "Sentinel is not supported yet"),
        ("rediss+cluster://one", "Redis Cluster is not supported"),
        ("amqp://one", "amqp:// is unknown: a store's URL begins with redis://, rediss://"),
        ("one:6379", "this has no scheme"),
        ("redis://one,two", "several servers"),
        ("redis://one;redis://two", "several servers"),
        ("redis://one:99999", "is no URL of a Redis"),
        ("redis://one/zero", "the database is a number"),
        ("redis://one?socket_timeout=1", "unknown parameter 'socket_timeout'"),
        ("redis://one?ssl_cert_reqs=none", "ssl_cert_reqs is for TLS: write rediss://"),
        ("rediss://one?ssl_cert_reqs=maybe", "ssl_cert_reqs is required or none"),
        ("rediss://one?ssl_check_hostname=maybe", "ssl_check_hostname is true or false"),
        ("rediss://one?ssl_ca_certs=/nowhere.pem", "there is no file /nowhere.pem"),
        ("unix://redis.sock", "whole path: unix:///"),
        ("unix:///", "whole path: unix:///"),
        (f"unix:///{'a' * 120}", "more than 107 bytes"),
    ],
)
def test_what_will_not_do_is_refused_by_the_name_of_its_setting(url: str, said: str) -> None:
    with pytest.raises(InvalidInput, match="PROLIGHT_REDIS_URL: ") as refused:
        Settings(redis_url=url).store_url  # noqa: B018 - it is worked out when asked for
    assert said in str(refused.value)


async def test_a_port_that_does_not_answer_tls_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_link, "ANSWER_WITHIN", timedelta(milliseconds=200))
    with socket.create_server(("localhost", 0)) as silent:
        link = RedisLink(f"rediss://localhost:{silent.getsockname()[1]}/0")
        with pytest.raises(StoreUnavailable, match=r"TimeoutError; does that port speak TLS\?"):
            await link.call("PING")
        await link.close()


def test_the_variable_that_named_the_store_is_the_one_in_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "http://one")
    with pytest.raises(InvalidInput, match=r"^REDIS_URL: http:// is unknown"):
        Settings(redis_url="").store_url  # noqa: B018


def test_the_store_is_verified_unless_the_url_says_otherwise_and_then_it_is_said_loudly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    address = parse("rediss://host")
    assert address.broker_use_ssl == VERIFIED
    assert not caplog.records
    for insecure in ("rediss://:s3cret@one?ssl_cert_reqs=CERT_NONE", "rediss://:s3cret@two?ssl_check_hostname=false"):
        tls = parse(insecure).broker_use_ssl
        assert tls and not tls["ssl_check_hostname"]
        assert parse_url(parse(insecure).url)["ssl_check_hostname"] is False
        assert caplog.records[-1].levelno == logging.WARNING
        assert "NOT VERIFIED" in caplog.text and "s3cret" not in caplog.text
    assert len(caplog.records) == 2


def test_files_of_tls_come_from_settings_or_the_url_and_reach_both_libraries(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = map(str, authority.issue("client"))
    by_settings = Settings(
        redis_url="rediss://host", redis_ca_file=authority.file, redis_cert_file=certificate, redis_key_file=key
    ).store_address
    query = f"ssl_ca_certs={authority.file}&ssl_certfile={certificate}&ssl_keyfile={key}"
    by_url = parse(f"rediss://host?{query}")
    files = {"ssl_ca_certs": str(authority.file), "ssl_certfile": certificate, "ssl_keyfile": key}
    assert by_settings == by_url
    assert by_url.broker_use_ssl == VERIFIED | files
    assert parse_url(by_url.url).items() >= files.items()


def test_an_empty_variable_names_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROLIGHT_REDIS_CA_FILE", "")
    assert Settings(redis_url="rediss://host").store_address.broker_use_ssl == VERIFIED


def test_a_file_that_will_not_do_is_told_by_the_setting_that_names_it(tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).issue("client")
    with pytest.raises(InvalidInput, match="PROLIGHT_REDIS_CA_FILE: there is no file"):
        Settings(redis_url="rediss://host", redis_ca_file=tmp_path / "none.pem").store_url  # noqa: B018
    with pytest.raises(InvalidInput, match=r"PROLIGHT_REDIS_CA_FILE: .*client\.key will not do"):
        Settings(redis_url="rediss://host", redis_ca_file=key).store_url  # noqa: B018
    with pytest.raises(InvalidInput, match=r"PROLIGHT_REDIS_CERT_FILE: .*client\.crt will not do"):
        Settings(redis_url="rediss://host", redis_cert_file=certificate).store_url  # noqa: B018
    with pytest.raises(InvalidInput, match="PROLIGHT_REDIS_KEY_FILE: a key needs its certificate"):
        Settings(redis_url="rediss://host", redis_key_file=key).store_url  # noqa: B018


def test_files_of_tls_with_a_line_that_is_not_encrypted_are_a_mistake_unless_it_stays_on_this_machine(
    tmp_path: Path,
) -> None:
    files = {"ssl_ca_certs": Authority(tmp_path).file}
    with pytest.raises(InvalidInput, match="PROLIGHT_REDIS_CA_FILE is set, but redis:// is not encrypted"):
        parse("redis://far.away", files=files)
    for here in ("redis://127.0.0.1:7001/0", "redis://", "unix:///run/redis.sock"):
        assert parse(here, files=files).broker_use_ssl is None


@pytest.mark.parametrize(
    "url",
    [
        "redis://:s3cret@host/0", "redis://host/0?password=s3cret", "redis://host/0?password=s3cret@more",
        "redis://:s3cret?@host", "redis://:12?s3cret@host/0", "redis://:12/s3cret@host/0", "redis://:s3cret#@host/0",
        "unix:///a.sock?password=s3cret", "unix://:s3cret@/a.sock?db=1", "rediss://h?ssl_password=s3cret",
        "rediss://:s3cret@h?ssl_keyfile=/nowhere", "redis://:s3cret@one,two", "sentinel://:s3cret@one",
    ],
)  # fmt: skip
def test_no_password_is_shown(url: str) -> None:
    shown = [safe_url(url)]
    try:
        address = parse(url)
        shown += [repr(address), Connection(address.broker_url).as_uri()]
    except InvalidInput as error:
        shown.append(str(error))
    assert not [text for text in shown if "s3cret" in text]


@given(st.text(min_size=1), st.text(), st.integers(0, 15), st.sampled_from(["redis", "rediss", "unix"]))
def test_any_password_reaches_both_libraries_whole(password: str, username: str, db: int, scheme: str) -> None:
    place = "/run/redis.sock" if scheme == "unix" else "host:1"
    tls = VERIFIED if scheme == "rediss" else {}
    address = RedisAddress(scheme, place, db, username, password, tls)
    told = parse_url(address.url)
    assert (told["password"], told.get("username", ""), told["db"]) == (password, username, db)
    assert parse(address.url) == parse(address.broker_url) == address
