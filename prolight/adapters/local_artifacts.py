"""Pictures in a folder: `root/ab/cdef…`, named by the sha256 of their bytes; `root/aliases/NAME` holds such a sha256.

A file is written under a temporary name in its own folder, synced, and renamed: under its right name it is
whole or not there. Folders and files are opened without following links, relative to an open parent, so
that nothing planted below the root leads out of it.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import mmap
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from prolight.errors import ArtifactMissing, InvalidInput, PictureRefused, StoreRefused, StoreUnavailable
from prolight.pictures import measure
from prolight.schemas import RUN_ID, SHA256, Artifact

FOLDER_MODE, FILE_MODE = 0o700, 0o600
IDENTITY_FILE = "identity"
IDENTITY_BYTES = 16
ALIASES_FOLDER = "aliases"
TEMPORARY = (".*.tmp", "*/.*.tmp", ".probe-*")
"""How files are named while they are written; the last one is that of `prolight doctor`."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a planted pipe must not hang the reader
_WRITE_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_IDENTITY = re.compile(rf"[0-9a-f]{{{2 * IDENTITY_BYTES}}}")
_WAITING_HELPS = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO, errno.EAGAIN, errno.ESTALE}


class ArtifactCorrupt(ArtifactMissing):
    """The file of this name no longer holds the bytes that the name promises."""

    code: ClassVar[str] = "asset_corrupt"


class LocalArtifacts:
    """An `ArtifactStore` in a folder. Workers on one host may share it; the root is made at the first write."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @cached_property
    def identity(self) -> str:
        """Random, made at first use; processes that race agree. Raises `StoreRefused` when it was tampered with."""
        with _own_errors(self._root), self._open_root() as root:
            if (kept := _read_file(IDENTITY_FILE, root)) is None:
                _link_new(IDENTITY_FILE, secrets.token_hex(IDENTITY_BYTES).encode(), root)
                kept = _read_file(IDENTITY_FILE, root) or b""
        identity = kept.decode(errors="replace")
        if not _IDENTITY.fullmatch(identity):
            raise StoreRefused(
                f"{self._root / IDENTITY_FILE} holds no identity; restore it, or delete it to make a new one"
            )
        return identity

    async def put(self, content: bytes, *, media_type: str) -> Artifact:
        """Keep a picture. Putting what is there already changes nothing; a damaged file is written anew.

        Raises `PictureRefused` for bytes that are no picture of that type, `StoreUnavailable` when the disk is full.
        """
        return await asyncio.to_thread(self._put, content, media_type)

    async def get(self, artifact_id: str) -> bytes:
        """The bytes, verified. Raises `ArtifactMissing`, `ArtifactCorrupt`, or `InvalidInput` for what is no id."""
        return await asyncio.to_thread(self._get, artifact_id)

    async def find(self, artifact_id: str) -> Artifact | None:
        """Type and size, read from the header only. Raises `ArtifactCorrupt`, or `InvalidInput` for what is no id."""
        return await asyncio.to_thread(self._find, artifact_id)

    async def alias(self, name: str, artifact_id: str, *, replace: bool = False) -> str:
        """Give a picture a name; answers the id that the name now stands for: the first one's, unless `replace`."""
        return await asyncio.to_thread(self._alias, name, artifact_id, replace)

    async def aliases(self) -> dict[str, str]:
        """Every name, and the id that it stands for."""
        return await asyncio.to_thread(self._aliases)

    async def named(self, name: str) -> str | None:
        """The id that a name stands for. Raises `InvalidInput` for what is no name."""
        return await asyncio.to_thread(self._named, name)

    def kept_identity(self) -> str | None:
        """The identity, unless none was made yet: this makes none."""
        try:
            return (self._root / IDENTITY_FILE).read_text(errors="replace")
        except OSError:
            return None

    def leftovers(self, older_than: timedelta) -> list[Path]:
        """Temporary files of writers that were killed, if nobody has touched them for so long."""
        before = time.time() - older_than.total_seconds()
        found = (path for pattern in TEMPORARY for path in self._root.glob(pattern))
        return sorted(path for path in found if _modified(path) < before)

    def path(self, artifact_id: str) -> Path:
        """Where the picture is, or would be, for readers on this host. Raises `InvalidInput`."""
        folder, name = _split(artifact_id)
        return self._root / folder / name

    def _put(self, content: bytes, media_type: str) -> Artifact:
        artifact_id = hashlib.sha256(content).hexdigest()
        artifact = _described(artifact_id, content)
        if artifact.media_type != media_type:
            raise PictureRefused(f"is {artifact.media_type}; declare that, not {media_type}", field="picture")
        folder, name = _split(artifact_id)
        with _own_errors(self.path(artifact_id)), self._open_root() as root, _open_folder(folder, root) as parent:
            if not _holds(name, content, parent):
                _replace(name, content, parent)
        return artifact

    def _get(self, artifact_id: str) -> bytes:
        with self._open_file(artifact_id) as file:
            content = _read_all(file)
        if hashlib.sha256(content).hexdigest() != artifact_id:
            raise self._corrupt(artifact_id)
        return content

    def _find(self, artifact_id: str) -> Artifact | None:
        try:
            with self._open_file(artifact_id) as file, mmap.mmap(file, 0, prot=mmap.PROT_READ) as content:
                return _described(artifact_id, content)
        except ArtifactCorrupt:
            raise
        except ArtifactMissing:
            return None
        except (PictureRefused, ValueError):  # mmap's word for an empty file is ValueError
            raise self._corrupt(artifact_id) from None

    def _alias(self, name: str, artifact_id: str, replace: bool) -> str:
        _split(artifact_id)
        write, name = _replace if replace else _link_new, _checked_alias(name)
        path = self._root / ALIASES_FOLDER
        with _own_errors(path), self._open_root() as root, _open_folder(ALIASES_FOLDER, root) as folder:
            write(name, artifact_id.encode(), folder)
        return self._named(name) or artifact_id

    def _aliases(self) -> dict[str, str]:
        try:
            names = sorted(path.name for path in (self._root / ALIASES_FOLDER).iterdir())
        except FileNotFoundError:
            return {}
        known = {name: self._named(name) for name in names if re.fullmatch(RUN_ID, name)}
        return {name: artifact_id for name, artifact_id in known.items() if artifact_id}

    def _named(self, name: str) -> str | None:
        name = _checked_alias(name)
        with _own_errors(self._root / ALIASES_FOLDER / name):
            try:
                root = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                with _closing(root), _closing(os.open(ALIASES_FOLDER, _FOLDER, dir_fd=root)) as folder:
                    kept = _read_file(name, folder)
            except FileNotFoundError:
                return None
        artifact_id = (kept or b"").decode(errors="replace")
        return artifact_id if re.fullmatch(SHA256, artifact_id) else None

    @contextmanager
    def _open_root(self) -> Iterator[int]:
        self._root.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        with _closing(os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as root:
            yield root

    @contextmanager
    def _open_file(self, artifact_id: str) -> Iterator[int]:
        folder, name = _split(artifact_id)
        with _own_errors(self.path(artifact_id)):
            try:
                root = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                with _closing(root), _closing(os.open(folder, _FOLDER, dir_fd=root)) as parent:
                    file = os.open(name, _READ, dir_fd=parent)
            except FileNotFoundError:
                message = (
                    f"no picture {artifact_id} in {self._root}; submit it again, or use the folder that it was put into"
                )
                raise ArtifactMissing(message) from None
            with _closing(file):
                yield file

    def _corrupt(self, artifact_id: str) -> ArtifactCorrupt:
        return ArtifactCorrupt(f"{self.path(artifact_id)} is damaged; submit the picture again to mend it")


def _modified(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:  # just finished
        return time.time()


def _split(artifact_id: str) -> tuple[str, str]:
    if not re.fullmatch(SHA256, artifact_id):
        raise InvalidInput(
            "is no sha256 of 64 lower-case hex characters; use the id that `put` gave", field="artifact_id"
        )
    return artifact_id[:2], artifact_id[2:]


def _checked_alias(name: str) -> str:
    if not re.fullmatch(RUN_ID, name):
        raise InvalidInput(
            f"{name[:40]!r} is no name: a letter or digit, then up to 127 of letters, digits, `.`, `_`, `-`",
            field="asset_id",
        )
    if re.fullmatch(SHA256, name):
        raise InvalidInput("looks like an artifact's id: take another name", field="asset_id")
    return name


def _described(artifact_id: str, content: bytes | mmap.mmap) -> Artifact:
    header = measure(content)
    return Artifact(
        id=artifact_id,
        media_type=header.media_type,
        size_bytes=len(content),
        width=header.width,
        height=header.height,
    )


@contextmanager
def _own_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _WAITING_HELPS:
            raise StoreUnavailable(f"{path}: {error.strerror}; free space or repair the disk") from error
        raise StoreRefused(
            f"{path}: {error.strerror}; it must be a folder of this user's own, without links"
        ) from error


@contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _open_folder(name: str, root: int) -> Iterator[int]:
    with suppress(FileExistsError):
        os.mkdir(name, FOLDER_MODE, dir_fd=root)
        os.fsync(root)
    with _closing(os.open(name, _FOLDER, dir_fd=root)) as folder:
        yield folder


def _read_all(file: int) -> bytes:
    with os.fdopen(file, "rb", closefd=False) as stream:
        return stream.read()


def _read_file(name: str, folder: int) -> bytes | None:
    try:
        with _closing(os.open(name, _READ, dir_fd=folder)) as file:
            return _read_all(file)
    except FileNotFoundError:
        return None


def _holds(name: str, content: bytes, folder: int) -> bool:
    try:
        return _read_file(name, folder) == content
    except OSError:  # a link, a folder, an unreadable file: whatever it is, it is to be replaced
        return False


@contextmanager
def _written(content: bytes, folder: int) -> Iterator[str]:
    """A synced file under a temporary name, which is gone afterwards."""
    name = f".{secrets.token_hex(8)}.tmp"
    try:
        with os.fdopen(os.open(name, _WRITE_NEW, FILE_MODE, dir_fd=folder), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield name
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)


def _replace(name: str, content: bytes, folder: int) -> None:
    with _written(content, folder) as temporary:
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)


def _link_new(name: str, content: bytes, folder: int) -> None:
    """Like `_replace`, but the first one wins: a link, unlike a rename, never overwrites."""
    with _written(content, folder) as temporary, suppress(FileExistsError):
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    os.fsync(folder)
