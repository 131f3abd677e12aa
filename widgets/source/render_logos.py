"""Render `logo.svg` to the six pictures of the widget: `python widgets/source/render_logos.py`.

Every `<view id viewBox>` of the drawing is one picture, a pixel for a unit. resvg draws without
fonts and without a browser, so the same drawing gives the same pixels on every machine.
"""

import sys
from pathlib import Path
from xml.etree import ElementTree as ET

from resvg_py import svg_to_bytes

DRAWING = Path(__file__).with_name("logo.svg")
PICTURES = Path(__file__).parents[1] / "shared" / "images"
SVG = "http://www.w3.org/2000/svg"


def artboards(drawing: str) -> dict[str, bytes]:
    """Name -> PNG of every artboard, e.g. `logo_min` -> 84x84 pixels."""
    ET.register_namespace("", SVG)
    root = ET.fromstring(drawing)  # noqa: S314 - our own file
    return {view.attrib["id"]: _render(root, view) for view in root.findall(f"{{{SVG}}}view")}


def _render(root: ET.Element, view: ET.Element) -> bytes:
    _, _, width, height = view.attrib["viewBox"].split()
    root.attrib.update(viewBox=view.attrib["viewBox"], width=width, height=height)
    return bytes(svg_to_bytes(svg_string=ET.tostring(root, encoding="unicode")))


def main() -> None:
    """Write all pictures and say how large they are."""
    for name, png in artboards(DRAWING.read_text(encoding="utf-8")).items():
        picture = PICTURES / f"{name}.png"
        picture.write_bytes(png)
        sys.stdout.write(f"{picture.name}: {len(png)} bytes\n")


if __name__ == "__main__":
    main()
