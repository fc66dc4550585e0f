import csv
import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from contracts.order import OrderPlaced
from hypothesis import given
from hypothesis import strategies as st
from oms.commands import import_
from oms.placing import retail
from oms.placing.retail import COLUMNS, LeftOut, NotRetail, Report
from typer.testing import CliRunner

GOODS = ("536365", "85123A", "HEART HOLDER", "6", "2010-12-01 08:26:00", "2.55", "17850.0", "United Kingdom")
Row = Callable[..., list[str]]


@pytest.fixture
def row() -> Row:
    """A line of goods with these columns changed."""

    def make(**changes: str) -> list[str]:
        return list((dict(zip(COLUMNS, GOODS, strict=True)) | changes).values())

    return make


def imported(*rows: list[str], limit: int | None = None) -> tuple[list[OrderPlaced], Report]:
    text = io.StringIO()
    csv.writer(text).writerows([COLUMNS, *rows])
    text.seek(0)
    report = Report()
    orders = [*map(retail.to_order, retail.fit_for_orders(retail.read_invoices(text, report), report, limit))]
    report.check()
    return orders, report


def test_makes_an_order_of_each_invoice(row: Row) -> None:
    orders, report = imported(row(), row(StockCode="71053", Quantity="2"), row(InvoiceNo="536366"))

    first, second = orders
    assert (first.order_id, second.order_id) == ("online-retail:536365", "online-retail:536366")
    assert [(line.sku, line.quantity, line.unit_price) for line in first.lines] == [
        ("85123A", 6, 255),
        ("71053", 2, 255),
    ]
    assert first.total == 8 * 255
    assert (report.orders, report.goods_lines) == (2, 3)


def test_gathers_the_lines_of_an_invoice_wherever_they_stand(row: Row) -> None:
    orders, _ = imported(row(), row(InvoiceNo="536366"), row(StockCode="71053"))

    assert [len(order.lines) for order in orders] == [2, 1]


def test_charges_become_the_shipping_charge(row: Row) -> None:
    charges = (row(StockCode=code, Quantity="1", UnitPrice="18.00") for code in ("POST", "DOT", "C2", "CARRIAGE"))

    [order], report = imported(row(), *charges)

    assert order.shipping_charge == 4 * 1800
    assert order.total == 6 * 255 + 4 * 1800
    assert report.charge_lines == 4


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"InvoiceNo": "C536379", "Quantity": "-1"}, LeftOut.CANCELLATION),
        ({"InvoiceNo": "A563185", "StockCode": "B"}, LeftOut.ADJUSTMENT),
        ({"StockCode": "M"}, LeftOut.NO_GOODS),
        ({"StockCode": "BANK CHARGES"}, LeftOut.NO_GOODS),
        ({"StockCode": "AMAZONFEE"}, LeftOut.NO_GOODS),
        ({"StockCode": "gift_0001_20"}, LeftOut.NO_GOODS),
        ({"StockCode": "S"}, LeftOut.NO_GOODS),
        ({"StockCode": "TEST001"}, LeftOut.NO_GOODS),
        ({"Quantity": "-10"}, LeftOut.QUANTITY),
        ({"Quantity": "0"}, LeftOut.QUANTITY),
        ({"UnitPrice": "0.0"}, LeftOut.PRICE),
        ({"UnitPrice": "-11062.06"}, LeftOut.PRICE),
        ({"UnitPrice": "0.001"}, LeftOut.FRACTION),
        ({"Country": "Atlantis"}, LeftOut.COUNTRY),
        ({"Quantity": "six"}, LeftOut.MALFORMED),
        ({"Quantity": "99999999999"}, LeftOut.MALFORMED),
        ({"UnitPrice": "NaN"}, LeftOut.MALFORMED),
        ({"UnitPrice": "1e300"}, LeftOut.MALFORMED),
        ({"UnitPrice": "1e999999"}, LeftOut.MALFORMED),
        ({"CustomerID": "17 850"}, LeftOut.MALFORMED),
        ({"CustomerID": "1" * 129}, LeftOut.MALFORMED),
        ({"InvoiceDate": "yesterday"}, LeftOut.MALFORMED),
        ({"StockCode": "two words"}, LeftOut.MALFORMED),
        ({"InvoiceNo": "53 6365"}, LeftOut.MALFORMED),
        ({"StockCode": "POST"}, LeftOut.CHARGE_ALONE),
    ],
)
def test_counts_each_line_that_is_in_no_order_with_its_reason(
    row: Row, changes: dict[str, str], reason: LeftOut
) -> None:
    orders, report = imported(row(InvoiceNo="1"), row(**{"InvoiceNo": "2", **changes}))

    assert [order.number for order in orders] == ["1"]
    assert dict(report.left_out) == {reason: 1}
    assert report.examples[reason] == 3


def test_leaves_out_what_is_too_large_for_an_order(row: Row) -> None:
    long = [row(InvoiceNo="2") for _ in range(2001)]
    dear = [row(InvoiceNo="3", Quantity="10000000", UnitPrice="9999999.99")]

    orders, report = imported(row(), *long, *dear)

    assert len(orders) == 1
    assert report.left_out[LeftOut.TOO_LARGE] == 2002


def test_counts_what_comes_after_the_limit(row: Row) -> None:
    orders, report = imported(row(), row(InvoiceNo="2"), row(InvoiceNo="3"), limit=1)

    assert len(orders) == 1
    assert report.left_out[LeftOut.LIMIT] == 2


def test_reads_short_lines_as_malformed(row: Row) -> None:
    _, report = imported(row(), row()[:5])

    assert report.left_out[LeftOut.MALFORMED] == 1


def test_turns_local_time_into_utc(row: Row) -> None:
    [winter, summer], _ = imported(row(), row(InvoiceNo="2", InvoiceDate="2011-07-01 08:26:00"))

    assert winter.placed_at == datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
    assert summer.placed_at == datetime(2011, 7, 1, 7, 26, tzinfo=UTC)


def test_writes_item_codes_in_capitals(row: Row) -> None:
    [order], _ = imported(row(StockCode="85123a"), row())

    assert {line.sku for line in order.lines} == {"85123A"}


@pytest.mark.parametrize(
    ("name", "code"),
    [("EIRE", "IE"), ("RSA", "ZA"), ("USA", "US"), ("Channel Islands", "JE"), ("Unspecified", "GB"), ("Germany", "DE")],
)
def test_knows_the_countries_by_their_names(row: Row, name: str, code: str) -> None:
    [order], report = imported(row(Country=name))

    assert order.shipping_address.country == code
    assert bool(report.guessed_countries) == (name in {"Channel Islands", "Unspecified"})


def test_makes_up_the_same_customer_every_time_and_says_so(row: Row) -> None:
    [first, second, guest], report = imported(row(), row(InvoiceNo="2"), row(InvoiceNo="3", CustomerID=""))

    assert first.customer == second.customer
    assert first.shipping_address == second.shipping_address
    assert "synthetic" in first.customer.name
    assert str(first.customer.email).endswith("@example.com")
    assert guest.customer.id == "guest-3"
    assert report.guests == 1


def test_refuses_a_file_with_other_columns() -> None:
    with pytest.raises(NotRetail, match="no column StockCode, Quantity"):
        retail.read_invoices(io.StringIO("InvoiceNo,Description,InvoiceDate,UnitPrice,CustomerID,Country\n"), Report())


@given(st.lists(st.tuples(*[st.text(max_size=8)] * len(COLUMNS)), max_size=5))
def test_accounts_for_every_line_of_any_file(rows: list[tuple[str, ...]]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([COLUMNS, GOODS, *rows])
    text.seek(0)
    report = Report()
    orders = [*map(retail.to_order, retail.fit_for_orders(retail.read_invoices(text, report), report))]

    report.check()
    assert report.lines_read == sum(1 for _ in csv.reader(io.StringIO(text.getvalue()))) - 1
    assert report.goods_lines == sum(len(order.lines) for order in orders)


def test_imports_a_gzipped_file_and_writes_orders_and_stock(row: Row, tmp_path: Path) -> None:
    source, out, stock = tmp_path / "retail.csv.gz", tmp_path / "orders.ndjson", tmp_path / "stock.csv"
    text = io.StringIO()
    csv.writer(text).writerows([COLUMNS, row(), row(StockCode="M")])
    source.write_bytes(gzip.compress(text.getvalue().encode()))

    done = CliRunner().invoke(
        import_.app, ["online-retail", str(source), "--out", str(out), "--stock", str(stock), "--json"]
    )

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["left_out"]["no_goods"]["lines"] == 1
    assert OrderPlaced.model_validate_json(out.read_text()).number == "536365"
    assert stock.read_text().splitlines()[1] == "LON,85123A,6,,,"


def test_writes_orders_to_standard_output_and_the_report_beside_it(row: Row, tmp_path: Path) -> None:
    source = tmp_path / "retail.csv"
    source.write_text(",".join(COLUMNS) + "\n" + ",".join(row()) + "\n")

    done = CliRunner().invoke(import_.app, ["online-retail", str(source)])

    assert done.exit_code == 0
    assert OrderPlaced.model_validate_json(done.stdout).total == 6 * 255
    assert "1 orders of 1 lines" in done.stderr


def test_names_the_item_of_which_the_orders_take_more_than_a_stock_file_can_say(row: Row, tmp_path: Path) -> None:
    source, out, stock = tmp_path / "retail.csv", tmp_path / "orders.ndjson", tmp_path / "stock.csv"
    some = {"Quantity": "6000000", "UnitPrice": "0.01"}
    with source.open("w") as text:
        csv.writer(text).writerows([COLUMNS, row(**some), row(StockCode="71053"), row(InvoiceNo="2", **some)])

    done = CliRunner().invoke(import_.app, ["online-retail", str(source), "--out", str(out), "--stock", str(stock)])

    assert done.exit_code == 2
    assert "error: these orders take 12,000,000 units of 85123A" in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("orders", [1, 2000])
def test_ends_without_a_word_when_nobody_reads_on(row: Row, tmp_path: Path, orders: int) -> None:
    source = tmp_path / "retail.csv"
    with source.open("w") as text:
        csv.writer(text).writerows([COLUMNS, *(row(InvoiceNo=str(number)) for number in range(orders))])
    command = [sys.executable, "-c", "from oms.cli import main; main()", "import", "online-retail", str(source)]

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as importing:  # noqa: S603 - the text above
        assert importing.stdout
        assert importing.stderr
        importing.stdout.close()
        said = importing.stderr.read()

    assert (said.strip(), importing.returncode) == ("", 1)


def test_says_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    source = tmp_path / "other.csv"
    source.write_text("a,b\n1,2\n")
    out = tmp_path / "orders.ndjson"

    done = CliRunner().invoke(import_.app, ["online-retail", str(source), "--out", str(out)])

    assert done.exit_code == 2
    assert "this is not the Online Retail CSV" in done.stderr
    assert not out.exists()
    assert list(tmp_path.iterdir()) == [source]


def test_says_that_a_packed_file_is_damaged(row: Row, tmp_path: Path) -> None:
    source, out = tmp_path / "retail.csv.gz", tmp_path / "orders.ndjson"
    packed = bytearray(gzip.compress((",".join(COLUMNS) + "\n" + ",".join(row()) + "\n").encode()))
    packed[10] = 7  # what is packed would begin with a block of a kind that there is not
    source.write_bytes(packed)

    done = CliRunner().invoke(import_.app, ["online-retail", str(source), "--out", str(out)])

    assert done.exit_code == 2
    assert "error: Error -3 while decompressing data" in done.stderr
    assert not out.exists()
