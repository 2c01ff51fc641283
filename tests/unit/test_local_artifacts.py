"""The picture folder: content-addressed, whole or not there, closed to everybody else."""

from __future__ import annotations

import errno
import hashlib
import io
import multiprocessing
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from prolight.adapters.local_artifacts import ArtifactCorrupt, LocalArtifacts
from prolight.errors import ArtifactMissing, InvalidInput, PictureRefused, StoreRefused, StoreUnavailable
from prolight.ports import ArtifactStore

pytestmark = pytest.mark.asyncio

NO_IDS = [
    "",
    "../../etc/passwd",
    "/etc/passwd",
    "..%2f..%2fetc",
    "ab/" + "c" * 61,
    "a" * 63,
    "a" * 65,
    "A" * 64,
    "a" * 63 + "\n",
    "a" * 64 + "\n",
    "a" * 63 + "\0",
    "․" * 64,
    "C:" + "a" * 62,
    "a" * 300,
    "identity",
]


def picture(kind: str = "PNG", colour: str = "teal", size: tuple[int, int] = (20, 30)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()


PNG = picture()
PNG_ID = hashlib.sha256(PNG).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> LocalArtifacts:
    return LocalArtifacts(tmp_path / "pictures")


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_what_was_put_can_be_got_and_found(store: LocalArtifacts, kind: str) -> None:
    content = picture(kind)
    artifact = await store.put(content, media_type=f"image/{kind.lower()}")
    assert await store.get(artifact.id) == content
    assert await store.find(artifact.id) == artifact
    assert (artifact.width, artifact.height, artifact.size_bytes) == (20, 30, len(content))
    assert store.path(artifact.id).read_bytes() == content


async def test_the_name_is_the_hash_split_after_two_characters(store: LocalArtifacts, tmp_path: Path) -> None:
    await store.put(PNG, media_type="image/png")
    assert files(tmp_path / "pictures") == {f"{PNG_ID[:2]}/{PNG_ID[2:]}"}


async def test_nobody_else_can_read_it(store: LocalArtifacts) -> None:
    await store.put(PNG, media_type="image/png")
    path = store.path(PNG_ID)
    modes = [stat.S_IMODE(item.stat().st_mode) for item in (path, path.parent, path.parent.parent)]
    assert modes == [0o600, 0o700, 0o700]


async def test_putting_it_again_touches_nothing(store: LocalArtifacts) -> None:
    first = await store.put(PNG, media_type="image/png")
    before = store.path(PNG_ID).stat()
    assert await store.put(PNG, media_type="image/png") == first
    assert store.path(PNG_ID).stat().st_ino == before.st_ino


async def test_another_process_finds_it(store: LocalArtifacts, tmp_path: Path) -> None:
    artifact = await store.put(PNG, media_type="image/png")
    other: ArtifactStore = LocalArtifacts(tmp_path / "pictures")
    assert await other.find(artifact.id) == artifact


async def test_what_is_not_there_is_missing(store: LocalArtifacts) -> None:
    assert await store.find(PNG_ID) is None
    with pytest.raises(ArtifactMissing, match="submit it again"):
        await store.get(PNG_ID)


async def test_reading_makes_no_folder(store: LocalArtifacts, tmp_path: Path) -> None:
    await store.find(PNG_ID)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("artifact_id", NO_IDS)
async def test_what_is_no_id_never_reaches_the_disk(artifact_id: str, tmp_path: Path) -> None:
    (tmp_path / "identity").write_text("secret")
    store = LocalArtifacts(tmp_path)
    with pytest.raises(InvalidInput, match="artifact_id: is no sha256"):
        await store.get(artifact_id)
    with pytest.raises(InvalidInput, match="artifact_id: is no sha256"):
        await store.find(artifact_id)
    with pytest.raises(InvalidInput, match="artifact_id: is no sha256"):
        store.path(artifact_id)


@pytest.mark.parametrize("content", [b"", b"GIF89a", PNG[:10]])
async def test_what_is_no_picture_is_refused_and_leaves_no_trace(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(PictureRefused):
        await LocalArtifacts(tmp_path / "pictures").put(content, media_type="image/png")
    assert list(tmp_path.iterdir()) == []


async def test_a_wrong_declared_type_is_refused(store: LocalArtifacts) -> None:
    with pytest.raises(PictureRefused, match="is image/png; declare that, not image/jpeg"):
        await store.put(PNG, media_type="image/jpeg")


class TestDamage:
    @pytest.mark.parametrize("left", [b"", PNG[:-1], PNG[:-1] + b"\0", b"<html>", picture(colour="red")])
    async def test_is_noticed_when_read_and_mended_when_put_again(self, store: LocalArtifacts, left: bytes) -> None:
        await store.put(PNG, media_type="image/png")
        store.path(PNG_ID).write_bytes(left)
        with pytest.raises(ArtifactCorrupt, match="is damaged; submit the picture again"):
            await store.get(PNG_ID)
        await store.put(PNG, media_type="image/png")
        assert await store.get(PNG_ID) == PNG

    @pytest.mark.parametrize("left", [b"", PNG[:10], b"<html>"])
    async def test_of_the_header_is_noticed_when_found(self, store: LocalArtifacts, left: bytes) -> None:
        await store.put(PNG, media_type="image/png")
        store.path(PNG_ID).write_bytes(left)
        with pytest.raises(ArtifactCorrupt):
            await store.find(PNG_ID)


class TestPlantedThings:
    async def test_a_link_in_the_place_of_a_picture_is_not_followed(
        self, store: LocalArtifacts, tmp_path: Path
    ) -> None:
        outside = tmp_path / "outside.png"
        outside.write_bytes(PNG)
        store.path(PNG_ID).parent.mkdir(parents=True)
        store.path(PNG_ID).symlink_to(outside)
        with pytest.raises(StoreRefused, match="without links"):
            await store.get(PNG_ID)

    async def test_a_link_in_the_place_of_a_picture_is_replaced_not_written_through(
        self, store: LocalArtifacts, tmp_path: Path
    ) -> None:
        outside = tmp_path / "outside"
        outside.write_bytes(b"precious")
        store.path(PNG_ID).parent.mkdir(parents=True)
        store.path(PNG_ID).symlink_to(outside)
        await store.put(PNG, media_type="image/png")
        assert outside.read_bytes() == b"precious"
        assert not store.path(PNG_ID).is_symlink()

    async def test_a_link_in_the_place_of_a_folder_is_not_followed(self, store: LocalArtifacts, tmp_path: Path) -> None:
        (tmp_path / "outside").mkdir()
        (tmp_path / "pictures").mkdir()
        store.path(PNG_ID).parent.symlink_to(tmp_path / "outside")
        with pytest.raises(StoreRefused, match="without links"):
            await store.put(PNG, media_type="image/png")
        assert files(tmp_path / "outside") == set()

    async def test_a_pipe_does_not_hang_the_reader(self, store: LocalArtifacts) -> None:
        store.path(PNG_ID).parent.mkdir(parents=True)
        os.mkfifo(store.path(PNG_ID))
        with pytest.raises(ArtifactCorrupt):
            await store.get(PNG_ID)


class TestAFailingDisk:
    @pytest.fixture
    def full_disk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fsync(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", fsync)

    @pytest.mark.usefixtures("full_disk")
    async def test_leaves_no_half_picture_and_can_be_tried_again(self, store: LocalArtifacts, tmp_path: Path) -> None:
        with pytest.raises(StoreUnavailable, match="No space left"):
            await store.put(PNG, media_type="image/png")
        assert files(tmp_path) == set()

    async def test_a_root_that_is_a_file_names_the_fix(self, tmp_path: Path) -> None:
        (tmp_path / "pictures").write_bytes(b"")
        with pytest.raises(StoreRefused, match="must be a folder"):
            await LocalArtifacts(tmp_path / "pictures").put(PNG, media_type="image/png")


def identity_of(root: str) -> str:
    return LocalArtifacts(Path(root)).identity


class TestIdentity:
    async def test_stays_the_same(self, tmp_path: Path) -> None:
        assert identity_of(str(tmp_path)) == identity_of(str(tmp_path))

    async def test_differs_between_stores(self, tmp_path: Path) -> None:
        assert identity_of(str(tmp_path / "a")) != identity_of(str(tmp_path / "b"))

    async def test_processes_that_race_agree(self, tmp_path: Path) -> None:
        root = tmp_path / "pictures"
        with multiprocessing.get_context("spawn").Pool(4) as pool:
            assert len(set(pool.map(identity_of, [str(root)] * 32, chunksize=1))) == 1
        assert files(root) == {"identity"}

    async def test_that_came_first_wins(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The other process links its identity between our look and our link."""
        link = os.link

        def late_link(*names: str, **options: Any) -> None:
            monkeypatch.setattr(os, "link", link)
            LocalArtifacts(tmp_path).identity  # noqa: B018
            link(*names, **options)

        monkeypatch.setattr(os, "link", late_link)
        assert identity_of(str(tmp_path)) == (tmp_path / "identity").read_text()

    async def test_that_was_tampered_with_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "identity").write_text("me")
        with pytest.raises(StoreRefused, match="restore it, or delete it"):
            identity_of(str(tmp_path))


class TestAliases:
    async def test_a_name_stands_for_a_picture(self, store: LocalArtifacts, tmp_path: Path) -> None:
        kept = await store.put(picture(), media_type="image/png")
        assert await store.alias("chair-1", kept.id) == kept.id
        assert await LocalArtifacts(tmp_path / "pictures").named("chair-1") == kept.id
        assert await store.aliases() == {"chair-1": kept.id}

    async def test_the_first_picture_keeps_its_name_unless_it_is_moved(self, store: LocalArtifacts) -> None:
        first = await store.put(picture(), media_type="image/png")
        second = await store.put(picture(colour="red"), media_type="image/png")
        await store.alias("chair", first.id)
        assert await store.alias("chair", second.id) == first.id
        assert await store.alias("chair", second.id, replace=True) == second.id
        assert await store.named("chair") == second.id

    async def test_a_name_that_nobody_gave_stands_for_nothing(self, store: LocalArtifacts, tmp_path: Path) -> None:
        assert await store.named("chair") is None
        assert await store.aliases() == {}
        assert not files(tmp_path)

    @pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a b", "-x", "x" * 129, "a" * 64, "a\n", "\x00"])
    async def test_what_is_no_name_never_reaches_the_disk(
        self, name: str, store: LocalArtifacts, tmp_path: Path
    ) -> None:
        with pytest.raises(InvalidInput):
            await store.alias(name, "a" * 64)
        with pytest.raises(InvalidInput):
            await store.named(name)
        assert not files(tmp_path)

    async def test_a_planted_link_is_not_followed(self, store: LocalArtifacts, tmp_path: Path) -> None:
        kept = await store.put(picture(), media_type="image/png")
        await store.alias("chair", kept.id)
        secret = tmp_path / "secret"
        secret.write_text("b" * 64)
        (tmp_path / "pictures" / "aliases" / "planted").symlink_to(secret)
        with pytest.raises(StoreRefused):
            await store.named("planted")
