"""Rules about the logos. Pillow reads the pixels and is loaded only when a rule runs."""

import io
from collections.abc import Iterator

from kommo_bridge.widget.archive import Archive, Rule

PAGE = "https://developers.kommo.com/docs/images"

# Name -> width and height in pixels.
LOGO_SIZES = {
    "images/logo.png": (130, 100),
    "images/logo_main.png": (400, 272),
    "images/logo_medium.png": (240, 84),
    "images/logo_min.png": (84, 84),
    "images/logo_small.png": (108, 108),
}
PIPELINE_LOGO = "images/logo_dp.png"
PIPELINE_LOGO_SIZE = (174, 109)
LARGEST_PICTURE_BYTES = 300 * 1024


def lacks_logos(archive: Archive) -> Iterator[str]:
    """Five logos, a sixth for the digital pipeline. Kommo reports one missing logo at a time."""
    wanted = list(LOGO_SIZES)
    if "digital_pipeline" in archive.locations:
        wanted.append(PIPELINE_LOGO)
    for name in wanted:
        if name not in archive.files:
            yield f"{name}: is missing"


def has_wrong_sizes(archive: Archive) -> Iterator[str]:
    """Every logo is a whole PNG of exactly the pixels that Kommo asks for."""
    for name, size in {**LOGO_SIZES, PIPELINE_LOGO: PIPELINE_LOGO_SIZE}.items():
        if name in archive.files:
            yield from _faults_of_picture(name, archive.files[name], size)


def _faults_of_picture(name: str, content: bytes, wanted: tuple[int, int]) -> Iterator[str]:
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - the web process does not need it

    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            size = picture.size
            picture.verify()
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError):
        yield f"{name}: is not a whole PNG picture"
        return
    if size != wanted:
        yield f"{name}: is {size[0]}x{size[1]} pixels, must be {wanted[0]}x{wanted[1]}"


def has_heavy_pictures(archive: Archive) -> Iterator[str]:
    """At most 300 KB each."""
    for name, content in archive.files.items():
        if name.startswith("images/") and len(content) > LARGEST_PICTURE_BYTES:
            yield f"{name}: has {len(content) / 1024:.0f} KB, 300 KB are allowed"


RULES = (
    Rule("images.present", "All logos that Kommo asks for are there", PAGE, lacks_logos),
    Rule("images.size", "Every logo has exactly the pixels asked for", PAGE, has_wrong_sizes),
    Rule("images.weight", "No picture has more than 300 KB", PAGE, has_heavy_pictures),
)
