import io
from collections.abc import Sequence

import pytest
from contracts.inventory import ConfigureItem, ReceiveStock
from hypothesis import given
from hypothesis import strategies as st
from oms.placing import stock_file
from oms.placing.stock_file import BadStockFile, StockRow

FILE = """\
location,sku,quantity,bin,low_threshold,substitutes
LON,MUG,40,A-01,10,CUP TEA
LON,TEA,,B-02,,
MAN,MUG,7,,,
"""


def read(text: str) -> list[StockRow]:
    return stock_file.read(io.StringIO(text))


def messages(rows: Sequence[StockRow]) -> tuple[list[ConfigureItem], list[ReceiveStock]]:
    sent = list(stock_file.to_messages(rows, stock_file.delivery_name(rows)))
    return (
        [message for message in sent if isinstance(message, ConfigureItem)],
        [message for message in sent if isinstance(message, ReceiveStock)],
    )


def test_sets_how_items_are_kept_and_receives_what_arrives() -> None:
    configured, received = messages(read(FILE))

    assert [(item.sku, item.bin, item.low_threshold, item.substitutes) for item in configured] == [
        ("MUG", "A-01", 10, ("CUP", "TEA")),
        ("TEA", "B-02", 0, ()),
    ]
    assert [(goods.location, [(line.sku, line.quantity) for line in goods.lines]) for goods in received] == [
        ("LON", [("MUG", 40)]),
        ("MAN", [("MUG", 7)]),
    ]


def test_needs_no_more_than_location_sku_and_quantity() -> None:
    [row] = read("sku, quantity ,location\nMUG, 3 ,LON\n")

    assert (row.location, row.sku, row.quantity) == ("LON", "MUG", 3)


def test_splits_a_large_delivery_into_messages_of_five_hundred_lines() -> None:
    rows = [StockRow(location="LON", sku=f"S{number}", quantity=1) for number in range(1001)]

    _, received = messages(rows)

    assert [len(message.lines) for message in received] == [500, 500, 1]
    assert len({message.movement_id for message in received}) == 3


def test_is_the_same_delivery_whatever_its_line_endings_and_another_when_a_quantity_differs() -> None:
    name = stock_file.delivery_name(read(FILE))

    assert stock_file.delivery_name(read(FILE.replace("\n", "\r\n"))) == name
    assert stock_file.delivery_name(read(FILE.replace("40", "41"))) != name


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lon,MUG,1,,,", "line 3: location: "),
        ("LON,,1,,,", "line 3: sku: "),
        ("LON,MUG,-1,,,", "line 3: quantity: "),
        ("LON,MUG,many,,,", "line 3: quantity: "),
        ("LON,MUG,1,A 1,,", "line 3: bin: "),
        ("LON,MUG,1,,-2,", "line 3: low_threshold: "),
        ("LON,MUG,1,,,CUP T*A", "line 3: substitutes[1]: "),
        ("LON,CUP,1,,,", "line 3: CUP in LON already stands in line 2"),
        ("LON,MUG,1,,,,more", "line 3: columns: "),
    ],
)
def test_names_the_line_and_the_field_that_is_wrong(line: str, message: str) -> None:
    with pytest.raises(BadStockFile, match="line 3") as refused:
        read(f"location,sku,quantity,bin,low_threshold,substitutes\nLON,CUP,1,,,\n{line}\n")

    assert message in str(refused.value)


def test_refuses_the_whole_file_and_names_the_first_twenty_lines_that_are_wrong() -> None:
    with pytest.raises(BadStockFile) as refused:
        read("location,sku,quantity\n" + "LON,MUG,x\n" * 25)

    assert len(str(refused.value).splitlines()) == 21
    assert str(refused.value).endswith("and 5 more")


@pytest.mark.parametrize("header", ["", "location,sku\n", "location,sku,quantity,color\n"])
def test_says_which_columns_it_wants(header: str) -> None:
    with pytest.raises(BadStockFile, match="must name the columns location, sku, quantity"):
        read(header)


skus = st.from_regex(r"[A-Z0-9]{1,6}", fullmatch=True)


@given(
    st.lists(
        st.builds(
            StockRow,
            location=st.sampled_from(["LON", "MAN"]),
            sku=skus,
            quantity=st.integers(0, 10_000_000),
            bin=st.from_regex(r"[A-Z0-9-]{0,8}", fullmatch=True),
            low_threshold=st.integers(0, 1000),
            substitutes=st.lists(skus, max_size=3).map(tuple),
        ),
        min_size=1,
        unique_by=lambda row: (row.location, row.sku),
    )
)
def test_reads_what_it_writes(rows: list[StockRow]) -> None:
    text = io.StringIO()
    stock_file.write(text, rows)

    assert read(text.getvalue()) == rows


def test_a_file_that_lists_nothing_is_refused() -> None:
    with pytest.raises(BadStockFile, match="it lists nothing"):
        read("location,sku,quantity\n")
