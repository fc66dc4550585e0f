"""A parcel's label: one page of 100 x 150 mm with the address in print and the tracking number as a barcode, too."""

from dataclasses import dataclass
from datetime import date

import fontpkg  # type: ignore[import-untyped] # it ships no types
from anyascii import anyascii
from barcode.codex import Code128  # type: ignore[import-untyped] # it ships no types
from contracts.shipping import Recipient
from fpdf import FPDF
from fpdf.fonts import TTFFont

WIDTH_MM, HEIGHT_MM, MARGIN_MM = 100, 150, 8
INNER_MM = WIDTH_MM - 2 * MARGIN_MM
ADDRESS_MM = 55
"""What the address may take of the page's height; a long one is printed smaller, in the end cut."""
FONT = "Noto Sans"


@dataclass(frozen=True, slots=True)
class Label:
    """What stands on a label."""

    tracking_number: str
    carrier: str
    method: str
    sender: str
    """The location that the parcel leaves from."""
    recipient: Recipient
    order_id: str
    place: int
    """Which of the order's parcels it is, counted from 1."""
    parcels: int
    units: int
    estimated_delivery: date


def render(label: Label) -> bytes:
    """The label as a PDF. The tracking number must be ASCII, as a barcode's text is."""
    pdf = FPDF(unit="mm", format=(WIDTH_MM, HEIGHT_MM))
    pdf.set_title(f"Label {label.tracking_number}")
    pdf.set_auto_page_break(False)
    pdf.set_margin(MARGIN_MM)
    # The upright file without variations: fixing the weight of a variable font takes seconds.
    pdf.add_font(FONT, fname=fontpkg.path(FONT))
    pdf.add_page()
    _print(pdf, 18, label.carrier)
    _print(pdf, 9, f"{label.method} · delivery about {label.estimated_delivery.isoformat()}")
    _rule(pdf)
    _print(pdf, 9, f"From {label.sender}")
    _rule(pdf)
    _print_address(pdf, label.recipient)
    _rule(pdf, at_mm=MARGIN_MM + 30 + ADDRESS_MM)
    _print(pdf, 9, f"Order {label.order_id} · parcel {label.place} of {label.parcels} · units: {label.units}")
    _draw_barcode(pdf, label.tracking_number, pdf.get_y() + 4, 30)
    pdf.set_y(pdf.get_y() + 35)
    _print(pdf, 12, label.tracking_number, align="C")
    return bytes(pdf.output())


def _print(pdf: FPDF, size_pt: int, text: str, align: str = "L") -> None:
    pdf.set_font(FONT, size=size_pt)
    pdf.multi_cell(INNER_MM, text=_printable(pdf, text), align=align, new_x="LMARGIN", new_y="NEXT")


def _rule(pdf: FPDF, at_mm: float | None = None) -> None:
    pdf.set_y((pdf.get_y() if at_mm is None else at_mm) + 2)
    pdf.line(MARGIN_MM, pdf.get_y(), WIDTH_MM - MARGIN_MM, pdf.get_y())
    pdf.set_y(pdf.get_y() + 2)


def _print_address(pdf: FPDF, recipient: Recipient) -> None:
    town = " ".join(part for part in (recipient.postal_code, recipient.city) if part)
    parts = (recipient.name, recipient.street, town, recipient.region, recipient.country.short_name.upper())
    text = "\n".join(_printable(pdf, part) for part in parts if part)
    for size_pt in range(16, 3, -1):
        pdf.set_font(FONT, size=size_pt)
        height_mm = pdf.multi_cell(INNER_MM, text=text, dry_run=True, output="HEIGHT")
        if isinstance(height_mm, float) and height_mm <= ADDRESS_MM:
            break
    else:
        lines = pdf.multi_cell(INNER_MM, text=text, dry_run=True, output="LINES")
        if isinstance(lines, list):
            most = int(ADDRESS_MM / pdf.font_size)
            # The country, which comes last, is what mail is sorted by.
            text = "\n".join((*lines[: most - 2], "…", lines[-1]))
    pdf.multi_cell(INNER_MM, text=text, new_x="LMARGIN", new_y="NEXT")


def _printable(pdf: FPDF, text: str) -> str:
    """The text itself where the font has its letters (Latin, Greek, Cyrillic), otherwise transcribed into Latin ones.

    Latin letters are what the Universal Postal Union asks for on mail that crosses borders.
    """
    font = pdf.fonts[FONT.lower()]
    known = isinstance(font, TTFFont) and all(ord(letter) in font.cmap for letter in text)
    return text if known else anyascii(text)


def _draw_barcode(pdf: FPDF, text: str, top_mm: float, height_mm: float) -> None:
    (modules,) = Code128(text).build()
    width_mm = INNER_MM / len(modules)
    for place, module in enumerate(modules):
        if module == "1":
            pdf.rect(MARGIN_MM + place * width_mm, top_mm, width_mm, height_mm, style="F")
