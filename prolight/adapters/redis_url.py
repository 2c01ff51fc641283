"""One URL for the store, in the forms that redis-py and kombu want, checked before anybody connects.

Taken: `redis://`, `rediss://` (TLS), `unix:///path?db=0` (redis-py's form of a Unix socket) and
`redis+socket:///path` (kombu's). Everything else is refused with what to write instead. No message
shows a password.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from prolight.errors import InvalidInput

log = logging.getLogger(__name__)

DEFAULT_PORT = 6379
SCHEMES = {"redis": "redis", "rediss": "rediss", "unix": "unix", "redis+socket": "unix"}
FILES = {"ssl_ca_certs": "PROLIGHT_REDIS_CA_FILE", "ssl_certfile": "PROLIGHT_REDIS_CERT_FILE",
         "ssl_keyfile": "PROLIGHT_REDIS_KEY_FILE"}  # fmt: skip
"""redis-py's names of the files of TLS, and the settings that name them as well."""
VERIFY = {"required": "required", "optional": "required", "none": "none",
          "CERT_REQUIRED": "required", "CERT_OPTIONAL": "required", "CERT_NONE": "none"}  # fmt: skip
"""redis-py's words and Celery's. For a client `optional` means `required`, says Python's ssl module."""
YES_NO = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
PARAMETERS = {"db", "virtual_host", "username", "password"}
TLS_PARAMETERS = {*FILES, "ssl_password", "ssl_cert_reqs", "ssl_check_hostname"}
LONGEST_PATH = 107
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where the one server is. `tls` has redis-py's names, and kombu and Flower use the same."""

    scheme: str
    place: str
    """`host:port`, or the path of a Unix socket."""
    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    tls: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def url(self) -> str:
        """redis-py's form, for every connection that is ours."""
        if self.scheme == "unix":
            return f"unix://{self._user}{quote(self.place)}?db={self.db}"
        told = {name: value for name, value in self.tls.items() if TLS_DEFAULTS.get(name) != value}
        return f"{self.scheme}://{self._user}{self.place}/{self.db}{'?' if told else ''}{urlencode(told)}"

    @property
    def broker_url(self) -> str:
        """kombu's form. A socket's scheme makes it look up the transport `redis`, so that ours is taken.

        Flower reads this too. Over a socket it knows neither a database other than 0 nor a user name.
        """
        if self.scheme == "unix":
            query = f"?virtual_host={self.db}" if self.db else ""
            return f"redis+socket://{self._user}{quote(self.place)}{query}"
        return f"{self.scheme}://{self._user}{self.place}/{self.db}"

    @property
    def broker_use_ssl(self) -> dict[str, Any] | None:
        """Said in full: kombu takes an empty answer for leave to verify nothing, and Flower reads no URL."""
        return dict(self.tls) if self.scheme == "rediss" else None

    @property
    def _user(self) -> str:
        if not (self.username or self.password):
            return ""
        return f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@"


TLS_DEFAULTS = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}


def parse(
    url: str, *, name: str = "PROLIGHT_REDIS_URL", files: Mapping[str, Path | None] | None = None
) -> RedisAddress:
    """The address that `url` names; `files` as in `FILES`, for TLS. Raises `InvalidInput` that names the setting."""
    scheme = _scheme(url, name)
    try:
        parts = urlsplit("redis" + url[url.index("://") :])
        port = parts.port
        query = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError:
        raise InvalidInput(UNREADABLE, field=name) from None
    if parts.fragment or "@" in parts.query or (scheme != "unix" and "@" in parts.path):
        raise InvalidInput(UNREADABLE, field=name)
    _check_parameters(query, scheme, name)
    given = {kind: path for kind, path in (files or {}).items() if path}
    return RedisAddress(
        scheme=scheme,
        place=_socket_path(parts, name) if scheme == "unix" else _host_and_port(parts, port, name),
        db=_database(parts, query, scheme, name),
        username=query.get("username") or unquote(parts.username or ""),
        password=query.get("password") or unquote(parts.password or ""),
        tls=_tls(query, given, url, name) if scheme == "rediss" else _unused(given, scheme, parts.hostname, name),
    )


UNREADABLE = "is no URL of a Redis: redis://:PASSWORD@HOST:6379/0, special characters of the password as %XX"


def _scheme(url: str, name: str) -> str:
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if scheme in SCHEMES:
        return SCHEMES[scheme]
    if "sentinel" in scheme:
        raise InvalidInput("Sentinel is not supported yet: name the one server, redis://HOST:6379/0", field=name)
    if "cluster" in scheme:
        raise InvalidInput(
            "Redis Cluster is not supported: run and queue must change in one script; name one server", field=name
        )
    known = ", ".join(f"{known}://" for known in SCHEMES)
    shown = f"{scheme}:// is unknown" if scheme else "this has no scheme"
    raise InvalidInput(f"{shown}: a store's URL begins with {known}", field=name)


def _check_parameters(query: Mapping[str, str], scheme: str, name: str) -> None:
    known = PARAMETERS | (TLS_PARAMETERS if scheme == "rediss" else set())
    if lost := sorted(TLS_PARAMETERS & query.keys() - known):
        raise InvalidInput(f"{lost[0]} is for TLS: write rediss://", field=name)
    if unknown := sorted(query.keys() - known):
        raise InvalidInput(f"unknown parameter {unknown[0]!r}: take {', '.join(sorted(known))}", field=name)


def _host_and_port(parts: SplitResult, port: int | None, name: str) -> str:
    host = unquote(parts.hostname or "localhost")
    if set(host) & set(",;"):
        raise InvalidInput("names several servers: ProLight works on one", field=name)
    return (f"[{host}]" if ":" in host else quote(host)) + (f":{port}" if port else "")


def _socket_path(parts: SplitResult, name: str) -> str:
    path = unquote(parts.path)
    if parts.netloc.rpartition("@")[2] or len(path) < 2:
        raise InvalidInput("a socket is named by its whole path: unix:///run/redis/redis.sock?db=0", field=name)
    if len(path.encode()) > LONGEST_PATH:
        raise InvalidInput(f"the system takes no socket's path of more than {LONGEST_PATH} bytes", field=name)
    return path


def _database(parts: SplitResult, query: Mapping[str, str], scheme: str, name: str) -> int:
    in_path = "" if scheme == "unix" else unquote(parts.path).strip("/")
    said = query.get("db") or query.get("virtual_host") or in_path or "0"
    if not (said.isascii() and said.isdigit()):
        raise InvalidInput("the database is a number: redis://HOST:6379/0, unix:///PATH?db=0", field=name)
    return int(said)


def _unused(given: Mapping[str, Path], scheme: str, host: str | None, name: str) -> dict[str, Any]:
    """Files of TLS for a line that is not encrypted: a mistake, unless the line never leaves this machine."""
    if given and scheme == "redis" and (host or "localhost") not in LOOPBACK:
        setting = FILES[next(iter(given))]
        raise InvalidInput(f"{setting} is set, but redis:// is not encrypted: write rediss://", field=name)
    return {}


def _tls(query: Mapping[str, str], given: Mapping[str, Path], url: str, name: str) -> dict[str, Any]:
    verify = VERIFY.get(query.get("ssl_cert_reqs", "required"))
    check = YES_NO.get(query.get("ssl_check_hostname", "true").lower())
    if verify is None or check is None:
        wrong = "ssl_cert_reqs is required or none" if verify is None else "ssl_check_hostname is true or false"
        raise InvalidInput(wrong, field=name)
    tls: dict[str, Any] = {"ssl_cert_reqs": verify, "ssl_check_hostname": check and verify == "required"}
    for kind in FILES:
        if path := query.get(kind) or given.get(kind):
            tls[kind] = str(Path(path).expanduser().absolute())
    if password := query.get("ssl_password"):
        tls["ssl_password"] = password
    _check_files(tls, {kind: name if kind in query else setting for kind, setting in FILES.items()})
    if verify == "none" or not check:
        _warn(safe_url(url))
    return tls


def _check_files(tls: Mapping[str, Any], named_by: Mapping[str, str]) -> None:
    """Read them as TLS will, so that a wrong one is told here and by name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    certificate, key = tls.get("ssl_certfile"), tls.get("ssl_keyfile")
    for kind in FILES:
        if (path := tls.get(kind)) and not Path(path).is_file():
            raise InvalidInput(f"there is no file {path}", field=named_by[kind])
    if key and not certificate:
        raise InvalidInput(f"a key needs its certificate: set {FILES['ssl_certfile']}", field=named_by["ssl_keyfile"])
    wrong = "ssl_ca_certs"
    try:
        if ca := tls.get("ssl_ca_certs"):
            context.load_verify_locations(ca)
        wrong = "ssl_certfile"
        if certificate:
            # Never None: OpenSSL would ask the terminal for the password of the key.
            context.load_cert_chain(certificate, key, tls.get("ssl_password", ""))
    except OSError as error:  # an SSLError is one
        what = getattr(error, "reason", None) or error.strerror or "not readable"
        raise InvalidInput(f"{tls[wrong]} will not do ({what}): PEM is wanted", field=named_by[wrong]) from None


@cache
def _warn(where: str) -> None:
    """Once for each server and process."""
    log.warning(
        "%s: THE CERTIFICATE OF THE STORE IS NOT VERIFIED, because its URL says so: whoever is on the line can read "
        "and change everything; remove ssl_cert_reqs and ssl_check_hostname, and set PROLIGHT_REDIS_CA_FILE",
        where,
    )


def safe_url(url: str) -> str:
    """The URL without its password, wherever it stands. Never raises."""
    scheme, _, rest = url.partition("://")
    place, _, query = rest.partition("?")
    return f"{scheme}://{'…' if '@' in query else place.rpartition('@')[2]}"


def tls_trouble(error: BaseException | None) -> str:
    """What to do about an error of TLS, in a sentence; empty for any other."""
    while not isinstance(error, ssl.SSLError):
        if error is None:
            return ""
        error = error.__cause__ or error.__context__
    if isinstance(error, ssl.SSLCertVerificationError):
        trusted = "PROLIGHT_REDIS_CA_FILE names the file of the CA that signed it"
        return f"its certificate is not trusted: {error.verify_message}; {trusted}"
    reason = error.reason or type(error).__name__
    if "CERTIFICATE" in reason or "UNKNOWN_CA" in reason:
        named = f"{FILES['ssl_certfile']} and {FILES['ssl_keyfile']} name it and its key"
        return f"it wants another certificate of ours: {reason}; {named}"
    return f"TLS failed: {reason}; is that the port for TLS? Without it, write redis://"
