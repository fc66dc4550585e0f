"""What every message is, and the values that messages are made of."""

import re
from datetime import datetime
from typing import Annotated, Any, Protocol, TypedDict

import pycountry
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)
from pydantic_core import PydanticKnownError
from pydantic_extra_types.country import CountryAlpha2
from pydantic_extra_types.currency_code import Currency

MOST_UNITS = 10_000_000
"""The most that a `Quantity` can be."""
MOST_COUNTED = 1_000_000_000_000
"""The most that a `Count` can be."""
NO_CONTROL_CHARACTERS = r"^[^\x00-\x1f\x7f]*$"
DATE_AND_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]")
"""How a moment begins (RFC 3339)."""


class Value(BaseModel):
    """A part of a message: immutable, and read strictly, so that `"3"` is never taken for `3`.

    Unknown fields are passed over, so that an older reader can follow a writer that has learned to say more. An error
    does not repeat the input: it may be personal, and errors are logged.
    """

    model_config = ConfigDict(
        frozen=True, strict=True, extra="ignore", use_attribute_docstrings=True, hide_input_in_errors=True
    )


class Message(Value):
    """Something that happened (past tense) or is to be done (imperative)."""


class FromOutside(Message):
    """A message that channels and people write: a field we do not know is a mistake, and is refused by name."""

    model_config = ConfigDict(extra="forbid")

    @property
    def said(self) -> dict[str, Any]:
        """The fields that the sender wrote, without those that have their defaults because the sender left them out.

        Whoever makes another message from this one passes on only these: a default that is written out is one more
        field that a reader who is not upgraded yet might not know.
        """
        return {name: value for name, value in self if name in self.model_fields_set}


class SagaStep(Message):
    """A command of the saga to another service, or that service's answer.

    The three fields name the saga (order and revision) and the attempt, so that a late answer is never mistaken for
    the answer to something else.
    """

    order_id: "OrderId"
    """The order, as `<channel>:<number>`."""
    revision: "Revision"
    """Which placing of the order this is; a rejected order is placed again with the next one."""
    attempt: "Attempt"
    """Which attempt at the step this is; an undo carries the attempt that it undoes."""


class StepOutside(SagaStep):
    """A command that a payment provider or a carrier carries out; when that fails, they are asked ever less often."""

    at_once: bool = False
    """Whether a person asks again, knowing that whatever prevented it is gone: it is tried without further wait."""


def dated(moment: object) -> object:
    """Without its date it is none: pydantic takes a number in quotes for seconds since 1970, as in "20240101"."""
    if isinstance(moment, datetime) or (isinstance(moment, str) and DATE_AND_TIME.match(moment)):
        return moment
    raise PydanticKnownError("datetime_type")


def _utc(moment: datetime) -> datetime:
    offset = moment.utcoffset()
    if offset is None or offset.total_seconds() != 0:
        msg = "must be in UTC"
        raise ValueError(msg)
    return moment


# What a validator refuses is said in the schema, too: channels and the check of changes see nothing else.
IN_UTC = f"^{DATE_AND_TIME.pattern}.*([Zz]|[+\u2212-]00:?00)$"  # the sign may be a minus proper, too (ISO 8601)
UTC_IN_SCHEMA = WithJsonSchema({"type": "string", "format": "date-time", "pattern": IN_UTC})
COUNTRY_IN_SCHEMA = WithJsonSchema({"type": "string", "enum": sorted(one.alpha_2 for one in pycountry.countries)})

Text = Annotated[str, Field(max_length=200, pattern=NO_CONTROL_CHARACTERS)]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=NO_CONTROL_CHARACTERS)]
LongText = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")]
# Behind `dated` pydantic no longer knows that a text comes from JSON, and would refuse every one if it read strictly.
Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(dated), AfterValidator(_utc), UTC_IN_SCHEMA]
Country = Annotated[CountryAlpha2, COUNTRY_IN_SCHEMA]
Channel = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
Number = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
OrderId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}:[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Revision = Annotated[int, Field(ge=1, le=1_000_000)]
Attempt = Annotated[int, Field(ge=1, le=1_000_000)]
Sku = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Location = Annotated[str, Field(pattern=r"^[A-Z0-9][A-Z0-9-]{0,31}$")]
Bin = Annotated[str, Field(max_length=32, pattern=r"^[A-Za-z0-9._-]*$")]
Quantity = Annotated[int, Field(ge=1, le=MOST_UNITS)]
Count = Annotated[int, Field(ge=0, le=MOST_COUNTED)]
Amount = Annotated[int, Field(ge=0, le=1_000_000_000_000)]
Reference = Annotated[str, Field(min_length=1, max_length=128, pattern=NO_CONTROL_CHARACTERS)]
Email = Annotated[str, Field(max_length=254, pattern=r"^[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+$")]
Phone = Annotated[str, Field(max_length=32, pattern=r"^[0-9+() ./-]*$")]

__all__ = [
    "Amount",
    "Attempt",
    "Bin",
    "Channel",
    "Count",
    "Country",
    "CountryAlpha2",
    "Currency",
    "Email",
    "FromOutside",
    "Location",
    "LongText",
    "Message",
    "Moment",
    "Name",
    "Number",
    "OrderId",
    "Phone",
    "Quantity",
    "Reason",
    "Reference",
    "Revision",
    "SagaNames",
    "SagaStep",
    "Sku",
    "SkuQuantity",
    "StepOutside",
    "Text",
    "Value",
    "dated",
    "names_of",
]


class Reason(Value):
    """Why something was refused, in words for people and a code for programs."""

    path: Annotated[str, Field(max_length=300)]
    """The field it is about, as a path such as `lines[2].quantity`; empty when it is about the whole."""
    code: Annotated[str, Field(max_length=64, pattern=r"^[a-z0-9_]+$")]
    """A stable code, such as `missing` or `total_mismatch`."""
    message: Annotated[str, Field(max_length=1000)]
    """The same for people."""


class SkuQuantity(Value):
    """A number of units of one item."""

    sku: Sku
    """The item."""
    quantity: Quantity
    """How many units, at least one."""


class SagaNames(TypedDict):
    """The three fields that name a step of a saga, in its commands and in their answers."""

    order_id: str
    revision: int
    attempt: int


class NamedInSaga(Protocol):
    """A SagaStep, or what a service remembers of one."""

    @property
    def order_id(self) -> str: ...
    @property
    def revision(self) -> int: ...
    @property
    def attempt(self) -> int: ...


def names_of(step: NamedInSaga) -> SagaNames:
    """The names of a step, for an answer or another command to repeat."""
    return {"order_id": step.order_id, "revision": step.revision, "attempt": step.attempt}


SagaStep.model_rebuild()
StepOutside.model_rebuild()
