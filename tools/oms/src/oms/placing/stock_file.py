"""Stock files: CSV with a line for each item in each location, and the messages that make stock books of them."""

import csv
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, TextIO

from contracts.inventory import ConfigureItem, GoodsLine, ReceiveStock
from contracts.message import MOST_UNITS, Bin, Count, Location, Sku
from contracts.reasons import reasons_of
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

COLUMNS = ("location", "sku", "quantity", "bin", "low_threshold", "substitutes")
LINES_A_MESSAGE = 500
MOST_ERRORS = 20


def _words(text: object) -> object:
    return tuple(text.split()) if isinstance(text, str) else text


def _zero_if_empty(text: object) -> object:
    return text or 0


class StockRow(BaseModel):
    """One line of a stock file."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    location: Location
    sku: Sku
    quantity: Annotated[int, BeforeValidator(_zero_if_empty), Field(ge=0, le=MOST_UNITS)]
    """Units that arrive."""
    bin: Bin = ""
    low_threshold: Annotated[Count, BeforeValidator(_zero_if_empty)] = 0
    substitutes: Annotated[tuple[Sku, ...], BeforeValidator(_words), Field(max_length=20)] = ()
    """Items that may stand in for this one; in the file they are separated by spaces."""


class BadStockFile(Exception):  # noqa: N818 - named for what the file is
    """The file cannot be loaded; the message names every line that is wrong, up to twenty."""


def read(text: TextIO) -> list[StockRow]:
    """Every line of the file. Raises BadStockFile unless all of them are good: half a delivery helps nobody."""
    reader = csv.DictReader(text, restkey="columns", restval="")
    wrong: list[str] = []
    rows: list[StockRow] = []
    seen: dict[tuple[str, str], int] = {}
    try:
        header = [name.strip() for name in reader.fieldnames or ()]
        if not {"location", "sku", "quantity"} <= set(header) <= set(COLUMNS):
            raise BadStockFile(
                f"the first line must name the columns location, sku, quantity and may name bin, low_threshold, "
                f"substitutes; it says: {','.join(header) or 'nothing'}"
            )
        reader.fieldnames = header
        for fields in reader:
            line = reader.line_num
            try:
                row = StockRow.model_validate(fields)
            except ValidationError as error:
                wrong += [f"line {line}: {reason.path}: {reason.message}" for reason in reasons_of(error)]
                continue
            before = seen.setdefault((row.location, row.sku), line)
            if before != line:
                wrong.append(f"line {line}: {row.sku} in {row.location} already stands in line {before}")
            rows.append(row)
        if not rows and not wrong:
            raise BadStockFile("it lists nothing")
    except csv.Error as error:
        raise BadStockFile(f"line {reader.line_num}: {error}") from error
    except UnicodeDecodeError as error:
        raise BadStockFile(f"the file is not UTF-8: {error}") from error
    if wrong:
        more = [f"and {len(wrong) - MOST_ERRORS} more"] if len(wrong) > MOST_ERRORS else []
        raise BadStockFile("\n".join(wrong[:MOST_ERRORS] + more))
    return rows


def write(text: TextIO, rows: Iterable[StockRow]) -> None:
    """The rows as a stock file."""
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        substitutes = " ".join(row.substitutes)
        writer.writerow((row.location, row.sku, row.quantity, row.bin, row.low_threshold or "", substitutes))


def delivery_name(rows: Sequence[StockRow]) -> str:
    """The same for the same rows, so that the same file is the same delivery wherever it lies."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(row.model_dump_json().encode())
    return f"stock-file-{digest.hexdigest()[:16]}"


def to_messages(rows: Sequence[StockRow], delivery: str) -> Iterator[ConfigureItem | ReceiveStock]:
    """What makes the rows true: how each item is kept, then what arrives, location by location.

    The movement ids follow from `delivery`: the books take each delivery once.
    """
    by_location: defaultdict[str, list[StockRow]] = defaultdict(list)
    for row in rows:
        by_location[row.location].append(row)
    for location, its_rows in by_location.items():
        for row in its_rows:
            if row.bin or row.low_threshold or row.substitutes:
                yield ConfigureItem(
                    location=location,
                    sku=row.sku,
                    bin=row.bin,
                    low_threshold=row.low_threshold,
                    substitutes=row.substitutes,
                )
        arriving = [GoodsLine(sku=row.sku, quantity=row.quantity) for row in its_rows if row.quantity]
        for start in range(0, len(arriving), LINES_A_MESSAGE):
            yield ReceiveStock(
                movement_id=f"{delivery}/{location}/{start // LINES_A_MESSAGE + 1}",
                location=location,
                lines=tuple(arriving[start : start + LINES_A_MESSAGE]),
                reference=delivery,
            )
