"""Labels, as a PDF reader and a barcode scanner see them."""

from datetime import date

import pypdfium2  # type: ignore[import-untyped] # it ships no types
import pytest
import zxingcpp
from contracts.message import CountryAlpha2
from contracts.shipping import Recipient
from hypothesis import given, settings
from hypothesis import strategies as st
from shipping.gateway import tracking_number
from shipping.label import Label, render

NUMBER = tracking_number("web:1001/1/1/book/0", "GB")


def label(
    name: str = "Ann Smith",
    street: str = "High Street 1",
    city: str = "Leeds",
    region: str = "",
    number: str = NUMBER,
) -> Label:
    recipient = Recipient(
        name=name, street=street, city=city, postal_code="LS1 1AA", region=region, country=CountryAlpha2("GB")
    )
    return Label(
        tracking_number=number,
        carrier="Parcel Post",
        method="standard",
        sender="YORK",
        recipient=recipient,
        order_id="web:1001",
        place=1,
        parcels=2,
        units=7,
        estimated_delivery=date(2026, 1, 9),
    )


def text_of(pdf: bytes) -> str:
    """What a PDF reader finds on the only page."""
    document = pypdfium2.PdfDocument(pdf)
    assert len(document) == 1
    text: str = document[0].get_textpage().get_text_range()
    return text


def bottom_mm(pdf: bytes, text: str) -> float:
    """How far down the page this text ends."""
    page = pypdfium2.PdfDocument(pdf)[0]
    printed = page.get_textpage()
    first, _ = printed.search(text).get_next()
    _, bottom, _, _ = printed.get_charbox(first)
    return float(page.get_height() - bottom) * 25.4 / 72


def scanned(pdf: bytes) -> list[tuple[str, str]]:
    """What a scanner reads from the printed page, at about 150 dots an inch."""
    image = pypdfium2.PdfDocument(pdf)[0].render(scale=2, grayscale=True).to_pil()
    return [(code.format.name, code.text) for code in zxingcpp.read_barcodes(image)]


def test_says_what_people_need_to_know() -> None:
    lines = text_of(render(label())).splitlines()
    assert lines == [
        "Parcel Post",
        "standard · delivery about 2026-01-09",
        "From YORK",
        "Ann Smith",
        "High Street 1",
        "LS1 1AA Leeds",
        "UNITED KINGDOM",
        "Order web:1001 · parcel 1 of 2 · units: 7",
        NUMBER,
    ]


@pytest.mark.parametrize("number", [NUMBER, "RR473124829GB", "7"])
def test_its_barcode_is_the_tracking_number(number: str) -> None:
    assert scanned(render(label(number=number))) == [("Code128", number)]


@pytest.mark.parametrize("name", ["Jürgen Ærøskøbing", "Łucja Żółć", "Nguyễn Văn Ắc", "Ελένη", "Фёдор Достоевский"])
def test_prints_latin_greek_and_cyrillic_names_as_they_are(name: str) -> None:
    assert name in text_of(render(label(name=name)))


@pytest.mark.parametrize(
    ("name", "printed"), [("山田", "ShanTian"), ("محمد", "mhmd"), ("서울", "SeoUl"), ("Ann 🎁", "Ann :gift:")]
)
def test_transcribes_names_in_other_scripts(name: str, printed: str) -> None:
    assert printed in text_of(render(label(name=name)))


def test_prints_a_long_address_smaller_instead_of_over_the_barcode() -> None:
    pdf = render(label(name="W" * 200, street="Ж" * 200, city="Llanfair PG " * 16))
    assert scanned(pdf) == [("Code128", NUMBER)]
    assert "UNITED KINGDOM" in text_of(pdf)


def test_cuts_an_address_that_no_print_is_small_enough_for_but_not_its_country() -> None:
    longest = "霜" * 200
    pdf = render(label(name=longest, street=longest, city=longest, region=longest))
    assert "…" in text_of(pdf)
    assert bottom_mm(pdf, "UNITED KINGDOM") < bottom_mm(pdf, "Order web:1001")
    assert scanned(pdf) == [("Code128", NUMBER)]


@settings(max_examples=10, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=200))
def test_no_name_keeps_a_label_from_being_printed(name: str) -> None:
    assert NUMBER in text_of(render(label(name=name)))
