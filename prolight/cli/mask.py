"""`prolight mask`: what the studio takes for the subject of a picture. Needs no server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prolight.cli.artifacts import refuse_to_overwrite, write
from prolight.cli.failures import Refused
from prolight.cli.output import ExitCode, Json, console, record
from prolight.errors import ToolsMissing


def mask(
    file: Annotated[
        Path, typer.Argument(metavar="PICTURE", exists=True, dir_okay=False, readable=True, help="A JPEG, PNG or WebP.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", dir_okay=False, metavar="FILE", help="The mask, a PNG.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
    as_json: Json = False,
) -> ExitCode:
    """Write the mask of a picture's subject, white on black, and say how far it can be trusted.

    Corrected by hand it can be brought along: `prolight assets add` keeps it, a step's `mask` names it.
    """
    if not force:
        refuse_to_overwrite([output])
    confidence, trusted, reason, subject_percent = _written(file, output)
    if as_json:
        record(
            {
                "path": str(output),
                "confidence": confidence,
                "trusted": trusted,
                "reason": reason,
                "subject_percent": subject_percent,
            }
        )
    else:
        said = "trusted" if trusted else "not trusted: look at it before you use it"
        console().print(f"{output}: {subject_percent:g} % of the picture, confidence {confidence:g}, {said}\n{reason}")
    return ExitCode.OK


def _written(file: Path, output: Path) -> tuple[float, bool, str, float]:
    """Find the mask and write it. Raises `Refused` where there is no subject, and `ToolsMissing`."""
    from prolight import assets
    from prolight.pictures import ingest
    from prolight.settings import Settings

    try:
        import numpy as np

        from prolight.studio.codec import decode, encode_lossless
        from prolight.studio.mask import find_subject
        from prolight.studio.picture import Picture, as_alpha
    except ModuleNotFoundError as missing:
        raise ToolsMissing(f"the studio needs {missing.name}: pip install 'prolight[studio]'") from missing
    limits = Settings.load().picture_limits
    subject = find_subject(decode(ingest(assets.read(file, limits), limits).content).pixels)
    if not subject.usable:
        raise Refused(f"no subject to be seen in {file}. {subject.reason} Draw its mask: white on black, the same size")
    grey = np.repeat(as_alpha(subject.alpha)[..., None], 3, axis=2)
    write(output, encode_lossless(Picture(grey)))
    return (
        round(subject.confidence, 3),
        subject.trusted,
        subject.reason,
        round(100 * float(subject.alpha.mean()), 1),
    )
