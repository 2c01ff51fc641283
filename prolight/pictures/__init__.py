"""Pictures at the door: what is taken, and the one form in which it goes in."""

from prolight.pictures.containers import Header, PictureLimits, measure
from prolight.pictures.ingest import IngestedPicture, ingest

__all__ = ["Header", "IngestedPicture", "PictureLimits", "ingest", "measure"]
