"""The briefs that the offline rules answer for: what a photographer writes, and the steps that must come of it.

Lights are given by the fields that the brief decides; a light that is not listed must not be made.
Angles in degrees (negative = camera left), `ev` in stops, `k` in kelvin, `soft` 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FIELD_NAMES = {"az": "azimuth_deg", "el": "elevation_deg", "ev": "ev", "k": "kelvin", "soft": "softness"}
Numbers = dict[str, float]


@dataclass(frozen=True)
class Brief:
    text: str
    key: Numbers | None = None
    fill: Numbers | None = None
    rim: Numbers | None = None
    exposure: float = 0.0
    background: str | None = None
    export: dict[str, Any] = field(default_factory=dict)
    not_understood: tuple[str, ...] = ()

    @property
    def lights(self) -> dict[str, Numbers]:
        """The lights to be made, with the tool's own field names."""
        asked = {"key": self.key, "fill": self.fill, "rim": self.rim}
        return {
            role: {FIELD_NAMES[name]: value for name, value in numbers.items()}
            for role, numbers in asked.items()
            if numbers is not None
        }

    @property
    def does_nothing(self) -> bool:
        return not (self.lights or self.exposure or self.background or self.export)


UNDERSTOOD = (
    # key: direction
    Brief(
        "Soft warm key from the left, cool rim from behind, white background",
        key=dict(az=-45, k=3800, soft=0.8),
        rim=dict(az=180, k=7500),
        background="#ffffff",
    ),
    Brief("key light from the right", key=dict(az=45, el=30, ev=0, k=5500, soft=0.5)),
    Brief("Light it from the left.", key=dict(az=-45)),
    Brief(
        "soft key from left 45°, warm, rim light, white background",
        key=dict(az=-45, soft=0.8, k=3800),
        rim=dict(az=135),
        background="#ffffff",
    ),
    Brief("key 60 degrees camera right", key=dict(az=60)),
    Brief("key 45° left, 20° up", key=dict(az=-45, el=20)),
    Brief("key left 30° up 50°", key=dict(az=-30, el=50)),
    Brief("key at azimuth -70 and elevation 15", key=dict(az=-70, el=15)),
    Brief("main light from the upper left", key=dict(az=-45, el=45)),
    Brief("a soft light from above", key=dict(az=0, el=60, soft=0.8)),
    Brief("top light, hard", key=dict(az=0, el=80, soft=0.2)),
    Brief("key from the lower right", key=dict(az=45, el=-30)),
    Brief("light from the front", key=dict(az=0)),
    Brief("key from below", key=dict(az=0, el=-45)),
    Brief("a high key light from the right", key=dict(az=45, el=50)),
    Brief("key at eye level from camera left", key=dict(az=-45, el=0)),
    Brief("key from the model's left", key=dict(az=45)),
    Brief("side light from the right", key=dict(az=90)),
    # key: patterns
    Brief("Rembrandt lighting from the right", key=dict(az=45, el=45)),
    Brief("Butterfly light, very soft", key=dict(az=0, el=45, soft=0.95)),
    Brief("split lighting", key=dict(az=-90, el=0)),
    Brief("clamshell lighting with a big softbox", key=dict(az=0, el=45, soft=0.9), fill=dict(az=0, el=-30, ev=-1)),
    Brief("loop lighting", key=dict(az=-35, el=30)),
    Brief("three-point lighting", key=dict(az=-45), fill=dict(az=45, ev=-1), rim=dict(az=135)),
    # fill
    Brief("key left, fill right a stop under", key=dict(az=-45, ev=0), fill=dict(az=45, ev=-1)),
    Brief("key from the left at +0.7 EV with a fill two stops below the key", key=dict(ev=0.7), fill=dict(ev=-1.3)),
    Brief("key from the right, 2:1 ratio", key=dict(az=45), fill=dict(az=-45, ev=-1)),
    Brief("Key and fill at a 4:1 ratio", key=dict(ev=0), fill=dict(ev=-2)),
    Brief("add a subtle fill from the right", fill=dict(az=45, ev=-1.7)),
    Brief("key left; fill a stop and a half under", key=dict(), fill=dict(ev=-1.5)),
    Brief("key left, fill 1/3 stop under the key", key=dict(), fill=dict(ev=-0.33)),
    Brief("key left, fill at -2 EV", key=dict(), fill=dict(ev=-2)),
    # rim
    Brief("add a rim light", rim=dict(az=135, el=30, ev=0)),
    Brief("key right and a rim", key=dict(az=45), rim=dict(az=-135)),
    Brief("a hair light", rim=dict(az=180, el=60)),
    Brief("a kicker from the left", rim=dict(az=-120, el=0)),
    Brief("backlight, warm", rim=dict(az=180, k=3800)),
    Brief("a hard light from behind", rim=dict(az=180, soft=0.2)),
    Brief("rim from the back left, half a stop brighter", rim=dict(az=-135, ev=0.5)),
    Brief("rim light from the right, one stop over the key", rim=dict(az=135, ev=1)),
    Brief("edge light from behind on the right at 9000 K", rim=dict(az=135, k=9000)),
    Brief("strong rim at 150° right", rim=dict(az=150, ev=0.7)),
    # warmth and softness
    Brief("tungsten key from the left", key=dict(az=-45, k=3200)),
    Brief("golden hour light from the right", key=dict(az=45, k=3500)),
    Brief("3200K key and 6500 K rim", key=dict(k=3200), rim=dict(k=6500)),
    Brief("daylight key, candlelight rim", key=dict(k=5500), rim=dict(k=1900)),
    Brief("slightly warm key, very cool rim", key=dict(k=4500), rim=dict(k=9150)),
    Brief("overcast light", key=dict(k=6500)),
    Brief("open shade, diffused", key=dict(k=7500, soft=0.85)),
    Brief("bare bulb from the left", key=dict(az=-45, soft=0.15)),
    Brief("a warm and soft key from the right", key=dict(az=45, k=3800, soft=0.8)),
    Brief("warm tungsten key with an octabox", key=dict(k=3200, soft=0.85)),
    Brief("key at 3,200 K", key=dict(k=3200)),
    # background
    Brief("pure white background", background="#ffffff"),
    Brief("put it on light grey", background="#d3d3d3"),
    Brief("Background: #F4EFE6", background="#f4efe6"),
    Brief("change the background to navy blue", background="#000080"),
    Brief("soft light on a black backdrop", key=dict(soft=0.8), background="#000000"),
    Brief("background #abc and a cool key", key=dict(k=7500), background="#aabbcc"),
    # exposure
    Brief("brighter", exposure=0.7),
    Brief("make the picture slightly darker", exposure=-0.35),
    Brief("Expose it a stop under.", exposure=-1),
    Brief("high key, white background", exposure=0.7, background="#ffffff"),
    Brief(
        "low-key with a hard key from the left and a fill", exposure=-1, key=dict(az=-45, soft=0.2), fill=dict(ev=-3)
    ),
    Brief("exposure +0.5 EV", exposure=0.5),
    Brief("The picture is too dark.", exposure=0.7),
    Brief("two thirds of a stop brighter overall", exposure=0.67),
    Brief("Warm key from the left. Lift the whole image by half a stop.", key=dict(k=3800), exposure=0.5),
    # export
    Brief("soft key left, 2000 px, png", key=dict(soft=0.8), export=dict(format="png", long_side_px=2000)),
    Brief("save as webp at quality 80", export=dict(format="webp", quality=80)),
    Brief(
        "white background for the web", background="#ffffff", export=dict(format="jpeg", long_side_px=2000, quality=85)
    ),
    Brief("long side 1,600 pixels as JPG", export=dict(format="jpeg", long_side_px=1600)),
    Brief("rim from behind, full resolution", rim=dict(az=180), export=dict(format="jpeg")),
    # as people write
    Brief(
        "Big soft key from the top left, white seamless background (#ffffff)",
        key=dict(az=-45, el=45, soft=0.85),
        background="#ffffff",
    ),
    Brief("Key from the left one stop brighter than the fill.", key=dict(az=-45, ev=0), fill=dict(ev=-1)),
    Brief("Soften the light and warm it up.", key=dict(soft=0.8, k=3800)),
    Brief("A reflector on the right", fill=dict(az=45, ev=-1)),
    Brief("Drop the exposure by one stop.", exposure=-1),
    Brief("Increase exposure by 0.5 EV", exposure=0.5),
    Brief("darken it by 1 EV", exposure=-1),
    Brief("turn the key down half a stop, rim up a stop", key=dict(ev=-0.5), rim=dict(ev=0.5)),
    Brief(
        "Golden hour sun from behind left, soft warm fill from the front.",
        fill=dict(az=0, soft=0.8, k=3800),
        rim=dict(az=-135, k=3500, soft=0.1),
    ),
    Brief("Background light gray, key from the right", key=dict(az=45), background="#d3d3d3"),
    Brief("Put a hair light directly above and behind", rim=dict(az=180, el=80)),
    Brief("Rim from behind. The light from the left is soft.", key=dict(az=-45, soft=0.8), rim=dict(az=180, soft=0.4)),
    Brief("hard key soft rim", key=dict(soft=0.2), rim=dict(soft=0.8)),
    # negations
    Brief("warm key from the left, no rim light", key=dict(k=3800)),
    Brief("soft key from the right without fill or rim", key=dict(az=45, soft=0.8)),
    Brief("Soft key from the left, but don't touch the background", key=dict(az=-45, soft=0.8)),
    Brief("key left, leave the background as it is", key=dict(az=-45)),
    Brief("no rim light and a white background", background="#ffffff"),
    Brief("no fill but a strong rim from the left", rim=dict(az=-135, ev=0.7)),
    # several sentences
    Brief(
        "Key from the left. It should be soft and warm. Add a rim from behind. White background. Save a 1200 px webp.",
        key=dict(az=-45, soft=0.8, k=3800),
        rim=dict(az=180),
        background="#ffffff",
        export=dict(format="webp", long_side_px=1200),
    ),
    # the tool's limits are the Critic's business
    Brief("key from the left at +6 EV", key=dict(az=-45, ev=6)),
    Brief("rim at 20000 K from behind", rim=dict(k=20000)),
    Brief("rim light 45° left", rim=dict(az=-45)),
    Brief("key left, fill a stop over the key", key=dict(ev=0), fill=dict(ev=1)),
)

IN_PART = (
    Brief("soft key from the left, make the helmet pop", key=dict(az=-45, soft=0.8), not_understood=("helmet pop",)),
    Brief("moody, low key", exposure=-1, not_understood=("moody",)),
    Brief("warm key from the left, without a shadow", key=dict(k=3800), not_understood=("without a shadow",)),
    Brief("key from the right, not too warm", key=dict(az=45), not_understood=("not too warm",)),
    Brief("key left in a less warm tone", key=dict(az=-45), not_understood=("less warm",)),
    Brief("remove the scratches and brighten it", exposure=0.7, not_understood=("remove the scratches",)),
    Brief("red rim from behind", rim=dict(az=180), not_understood=("red",)),
    Brief("darker background, soft key", key=dict(soft=0.8), not_understood=("darker background",)),
    Brief("white shoes on a grey background", background="#808080", not_understood=("white shoes",)),
    Brief("warm wooden table, key from the right", key=dict(az=45), not_understood=("warm wooden table",)),
    Brief("key from the left in 4K", key=dict(az=-45, k=5500), not_understood=("4K",)),
    Brief("a hair light and a kicker", rim=dict(az=180, el=60), not_understood=("kicker",)),
    Brief("white background, exposure 0 EV", background="#ffffff", not_understood=("exposure 0 EV",)),
    Brief("soft light left, darker on the right", key=dict(az=-45, soft=0.8), not_understood=("darker on the right",)),
    Brief("key from the left, the logo on the right", key=dict(az=-45), not_understood=("logo on the right",)),
    Brief("white background, less fill", background="#ffffff", not_understood=("less fill",)),
    Brief("key from the left a stop over the rim", key=dict(az=-45, ev=0), not_understood=("a stop over the rim",)),
    Brief("key at 30-60 degrees left", key=dict(az=-45), not_understood=("30-60 degrees",)),
    Brief(
        "warm key from the left and cool key from the right", key=dict(az=-45, k=3800), not_understood=("cool", "right")
    ),
)

NOT_AT_ALL = (
    Brief("make it nicer", not_understood=("nicer",)),
    Brief("Lass es leuchten wie Gold", not_understood=("Lass es leuchten wie Gold",)),
    Brief("a cat on a beach", not_understood=("cat on a beach",)),
    Brief("no shadows", not_understood=("no shadows",)),
    Brief("no rim light", not_understood=("no rim light",)),
    Brief("Fill the frame!", not_understood=("Fill the frame",)),
    Brief("12345", not_understood=("12345",)),
    Brief("🙂🙂", not_understood=("🙂🙂",)),
)

ALL = UNDERSTOOD + IN_PART + NOT_AT_ALL
