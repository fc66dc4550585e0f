"""Turns the lines of the UCI "Online Retail" data set into orders: one invoice an order, and every line accounted for.

The data has neither names nor addresses nor means of payment. They are made up here, always the same for the same
customer, and marked as synthetic; e-mail addresses use a domain that is reserved for examples (RFC 2606).
"""

import csv
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import TextIO
from zoneinfo import ZoneInfo

import pycountry
from contracts.message import MOST_UNITS, CountryAlpha2, Currency
from contracts.order import Address, Customer, OrderLine, OrderPlaced

CHANNEL = "online-retail"
COLUMNS = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")
RETAILERS_TIME = ZoneInfo("Europe/London")

CHARGES = frozenset({"POST", "DOT", "C2", "CARRIAGE"})
"""Codes of what the customer pays for carriage: together they are the order's shipping charge."""

NO_GOODS = re.compile(r"M|D|S|B|BANK CHARGES|AMAZONFEE|CRUK|ADJUST\d*|GIFT.*|TEST.*")
"""Codes of book-keeping: manual entries, discounts, samples, bad debt, fees, donations, vouchers, tests."""

PLAIN_CODE = re.compile(r"[A-Z0-9][A-Z0-9._-]{0,63}")
PLAIN_NUMBER = re.compile(r"[A-Z0-9]{1,64}")
PLAIN_CUSTOMER = re.compile(r"[A-Za-z0-9._-]{0,128}")
MOST_LINES = 2000
MOST_PENCE = 1_000_000_000_000

COUNTRIES = {"EIRE": "IE", "RSA": "ZA", "Channel Islands": "JE", "European Community": "BE", "Unspecified": "GB"}
"""Names of the data that are no country names."""

GUESSED_COUNTRIES = frozenset({"Channel Islands", "European Community", "Unspecified"})
"""Names that stand for no single country: Jersey, Belgium and the retailer's own country are taken for them."""


class LeftOut(StrEnum):
    """Why a line is in no order."""

    MALFORMED = "malformed"
    CANCELLATION = "cancellation"
    ADJUSTMENT = "adjustment"
    NO_GOODS = "no_goods"
    QUANTITY = "quantity_not_positive"
    PRICE = "price_not_positive"
    FRACTION = "price_below_minor_unit"
    COUNTRY = "unknown_country"
    CHARGE_ALONE = "charge_without_goods"
    TOO_LARGE = "too_large"
    LIMIT = "beyond_limit"


EXPLANATIONS = {
    LeftOut.MALFORMED: "a field is missing or is no number, code or date",
    LeftOut.CANCELLATION: "the invoice is a cancellation (C...)",
    LeftOut.ADJUSTMENT: "the invoice is an accounting adjustment (A...)",
    LeftOut.NO_GOODS: "no goods: manual entry, discount, sample, fee, voucher",
    LeftOut.QUANTITY: "the quantity is not positive (stock written off)",
    LeftOut.PRICE: "the price is not positive (stock booked, given away)",
    LeftOut.FRACTION: "the price has more than two decimals",
    LeftOut.COUNTRY: "the country is not known",
    LeftOut.CHARGE_ALONE: "a shipping charge on an invoice without goods",
    LeftOut.TOO_LARGE: f"the invoice has more than {MOST_LINES} lines of goods, or its total is beyond any order",
    LeftOut.LIMIT: "the invoice comes after the limit that was asked for",
}


class NotRetail(Exception):  # noqa: N818 - named for what the file is
    """The file is not the retailer's CSV."""


@dataclass(slots=True)
class Invoice:
    """The lines of one invoice that make up an order."""

    number: str
    placed_at: datetime
    customer: str
    country: str
    goods: list[tuple[str, int, int]] = field(default_factory=list)
    """Code, quantity and price of one in pence."""
    charges: list[int] = field(default_factory=list)
    """In pence."""
    first_line: int = 0
    """Where the invoice begins in the file."""

    @property
    def lines(self) -> int:
        return len(self.goods) + len(self.charges)

    @property
    def total(self) -> int:
        """In pence."""
        return sum(self.charges) + sum(quantity * pence for _, quantity, pence in self.goods)


@dataclass(slots=True)
class Report:
    """What became of every line."""

    lines_read: int = 0
    goods_lines: int = 0
    charge_lines: int = 0
    left_out: Counter[LeftOut] = field(default_factory=Counter)
    examples: dict[LeftOut, int] = field(default_factory=dict)
    """The first line of the file that was left out for each reason."""
    orders: int = 0
    guests: int = 0
    """Orders without a customer, for whom one was made up."""
    guessed_countries: Counter[str] = field(default_factory=Counter)
    """Orders by country name, where the name stands for no single country."""

    def leave_out(self, reason: LeftOut, line: int, count: int = 1) -> None:
        if count:
            self.left_out[reason] += count
            self.examples.setdefault(reason, line)

    def check(self) -> None:
        """Raises AssertionError if a line is unaccounted for."""
        accounted = self.goods_lines + self.charge_lines + self.left_out.total()
        if accounted != self.lines_read:
            raise AssertionError(f"{self.lines_read} lines read, but {accounted} accounted for")

    def as_json(self) -> dict[str, object]:
        return {
            "lines_read": self.lines_read,
            "goods_lines": self.goods_lines,
            "charge_lines": self.charge_lines,
            "left_out": {
                reason.value: {"lines": count, "meaning": EXPLANATIONS[reason], "first_line": self.examples[reason]}
                for reason, count in self.left_out.most_common()
            },
            "orders": self.orders,
            "guests": self.guests,
            "guessed_countries": dict(self.guessed_countries),
        }


def read_invoices(text: TextIO, report: Report) -> list[Invoice]:
    """Every invoice with at least one line that belongs to an order, in the file's order.

    Lines of one invoice need not stand together. Raises NotRetail if the columns are others, or it is no CSV.
    """
    invoices: dict[str, Invoice] = {}
    rows = csv.reader(text)
    try:
        header = next(rows, [])
        missing = [column for column in COLUMNS if column not in header]
        if missing:
            raise NotRetail(f"this is not the Online Retail CSV: it has no column {', '.join(missing)}")
        places = [header.index(column) for column in COLUMNS]
        for row in rows:
            report.lines_read += 1
            reason = _take(row, places, invoices, rows.line_num)
            if reason is not None:
                report.leave_out(reason, rows.line_num)
    except csv.Error as error:
        raise NotRetail(f"line {rows.line_num}: {error}") from error
    return list(invoices.values())


def _take(row: list[str], places: list[int], invoices: dict[str, Invoice], line: int) -> LeftOut | None:
    try:
        number, code, _, quantity_text, date_text, price_text, customer, country = [row[place] for place in places]
        number, code = number.strip().upper(), code.strip().upper()
        quantity = int(quantity_text)
        placed_at = datetime.fromisoformat(date_text)
        pence = Decimal(price_text) * 100
    except (IndexError, ValueError, ArithmeticError):
        return LeftOut.MALFORMED
    customer = customer.strip().removesuffix(".0")
    if not PLAIN_CUSTOMER.fullmatch(customer):
        return LeftOut.MALFORMED
    reason = _why_not(number, code, quantity, pence)
    if reason is not None:
        return reason
    if number not in invoices:
        if country not in COUNTRIES and _country(country) is None:
            return LeftOut.COUNTRY
        moment = placed_at.replace(tzinfo=RETAILERS_TIME).astimezone(UTC)
        invoices[number] = Invoice(number, moment, customer, country, first_line=line)
    invoice = invoices[number]
    if code in CHARGES:
        invoice.charges.append(quantity * int(pence))
    else:
        invoice.goods.append((code, quantity, int(pence)))
    return None


def _why_not(number: str, code: str, quantity: int, pence: Decimal) -> LeftOut | None:  # noqa: PLR0911 - a list of rules
    if not PLAIN_NUMBER.fullmatch(number) or not pence.is_finite() or pence > MOST_PENCE or quantity > MOST_UNITS:
        return LeftOut.MALFORMED
    if number.startswith("C"):
        return LeftOut.CANCELLATION
    if number.startswith("A"):
        return LeftOut.ADJUSTMENT
    if NO_GOODS.fullmatch(code):
        return LeftOut.NO_GOODS
    if not PLAIN_CODE.fullmatch(code):
        return LeftOut.MALFORMED
    if quantity <= 0:
        return LeftOut.QUANTITY
    if pence <= 0:
        return LeftOut.PRICE
    if pence != int(pence):
        return LeftOut.FRACTION
    return None


@cache
def _country(name: str) -> str | None:
    if name in COUNTRIES:
        return COUNTRIES[name]
    try:
        return str(pycountry.countries.lookup(name).alpha_2)
    except LookupError:
        return None


def fit_for_orders(invoices: Iterable[Invoice], report: Report, limit: int | None = None) -> Iterator[Invoice]:
    """The invoices that can be orders, at most `limit` of them; `report` learns what was left out and why."""
    for invoice in invoices:
        if not invoice.goods:
            report.leave_out(LeftOut.CHARGE_ALONE, invoice.first_line, invoice.lines)
        elif limit is not None and report.orders >= limit:
            report.leave_out(LeftOut.LIMIT, invoice.first_line, invoice.lines)
        elif len(invoice.goods) > MOST_LINES or invoice.total > MOST_PENCE:
            report.leave_out(LeftOut.TOO_LARGE, invoice.first_line, invoice.lines)
        else:
            report.orders += 1
            report.goods_lines += len(invoice.goods)
            report.charge_lines += len(invoice.charges)
            report.guests += not invoice.customer
            if invoice.country in GUESSED_COUNTRIES:
                report.guessed_countries[invoice.country] += 1
            yield invoice


def to_order(invoice: Invoice, currency: str = "GBP") -> OrderPlaced:
    """The order that an invoice is fit for."""
    customer = _customer(invoice)
    address = _address(invoice, customer)
    return OrderPlaced(
        channel=CHANNEL,
        number=invoice.number,
        placed_at=invoice.placed_at,
        customer=customer,
        shipping_address=address,
        billing_address=address,
        lines=tuple(
            OrderLine(sku=code, quantity=quantity, unit_price=pence) for code, quantity, pence in invoice.goods
        ),
        shipping_charge=sum(invoice.charges),
        total=invoice.total,
        currency=Currency(currency),
        payment_token="tok_ok",  # noqa: S106 - the payment simulator's token, no secret
    )


def _customer(invoice: Invoice) -> Customer:
    if invoice.customer:
        return Customer(
            id=invoice.customer,
            name=f"Customer {invoice.customer} (synthetic)",
            email=f"customer-{invoice.customer}@example.com",
        )
    return Customer(id=f"guest-{invoice.number}", name=f"Guest {invoice.number} (synthetic)")


def _address(invoice: Invoice, customer: Customer) -> Address:
    # A checksum is the same on every machine and in every run, as a seeded random generator need not be.
    house = zlib.crc32(customer.id.encode())
    return Address(
        name=customer.name,
        street=f"{1 + house % 200} Example Street",
        city="Example Town",
        postal_code=str(10_000 + house % 90_000),
        country=CountryAlpha2(_country(invoice.country)),
    )
