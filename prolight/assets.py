"""Pictures that come in, and the names that callers have for them. An asset id is an artifact id or an alias of one."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from prolight.errors import ArtifactMissing, InvalidInput
from prolight.pictures import PictureLimits, ingest
from prolight.ports import ArtifactStore
from prolight.schemas import SHA256, Artifact


class AliasTaken(InvalidInput):
    """The alias stands for another picture."""

    code = "alias_taken"


async def take_in(artifacts: ArtifactStore, content: bytes, limits: PictureLimits) -> Artifact:
    """Check a picture, bring it into the one form, and keep it. Raises `PictureRefused`, and then nothing is kept."""
    taken = await asyncio.to_thread(ingest, content, limits)
    return await artifacts.put(taken.content, media_type=taken.media_type)


async def name(artifacts: ArtifactStore, alias: str, artifact_id: str, *, replace: bool = False) -> None:
    """Let `alias` stand for the picture. Raises `AliasTaken` when it stands for another one, unless `replace`."""
    holder = await artifacts.alias(alias, artifact_id, replace=replace)
    if holder != artifact_id:
        raise AliasTaken(f"stands for picture {holder[:12]}…; `--replace` moves it", field=f"alias {alias!r}")


async def find(artifacts: ArtifactStore, asset_id: str) -> Artifact:
    """The picture that an asset id means. Raises `ArtifactMissing`, or `InvalidInput` for what is no asset id."""
    artifact_id = asset_id if re.fullmatch(SHA256, asset_id) else await artifacts.named(asset_id)
    found = await artifacts.find(artifact_id) if artifact_id else None
    if found is None:
        raise ArtifactMissing(
            f"no picture {asset_id!r} in the artifact store: `prolight assets add FILE --id {asset_id}` makes one"
        )
    return found


def read(path: Path, limits: PictureLimits) -> bytes:
    """The file, or one byte more than the limit of it: enough for the door to refuse it."""
    with path.open("rb") as file:
        return file.read(limits.max_bytes + 1)
