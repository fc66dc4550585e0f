"""Every kind of document that a service keeps: its own, and the engine's."""

from collections.abc import Iterable, Mapping

from contracts.reasons import Unreadable, reasons_of
from pydantic import ValidationError

from chassis.decision import D, Document, kind_of
from chassis.stuck.dead_letter import DeadLetter
from chassis.stuck.document import Stuck
from chassis.stuck.gap import Gap
from chassis.stuck.parking import Parked
from chassis.stuck.repair import Repair

STUCK: tuple[type[Stuck], ...] = (Gap, Parked, DeadLetter)
"""The kinds of what waits for a person, the one of which there may be the most last."""
OF_THE_ENGINE: tuple[type[Document], ...] = (*STUCK, Repair)


def kinds_of(documents: Iterable[type[Document]]) -> dict[str, type[Document]]:
    """The models by the names of their kinds."""
    return {model.kind: model for model in (*OF_THE_ENGINE, *documents)}


MOST_SAID = 1000
"""The most characters told of what is wrong with a document: a newer version's may be wrong in a hundred places."""


class UnreadableDocument(Exception):  # noqa: N818 - named for what is there
    """The message says which document this version of the service cannot read, and why, without what is in it."""


def read_document(models: Mapping[str, type[Document]], key: str, body: bytes | Mapping[str, object]) -> Document:
    """The document of this key, whatever its kind. Raises UnreadableDocument."""
    model = models.get(kind_of(key))
    if model is None:
        raise UnreadableDocument(f"{key}: this version knows no documents of its kind")
    return read_as(model, key, body)


def read_as(model: type[D], key: str, body: bytes | Mapping[str, object]) -> D:
    """The document of this key, from JSON or from what MongoDB has of it. Raises UnreadableDocument.

    Fields that are not known are passed over, also within a message that would refuse them: a newer version may have
    written it, and a partition must go on while both serve, or where the newer one is taken back.
    """
    try:
        if isinstance(body, bytes):
            return model.model_validate_json(body, extra="ignore")
        return model.model_validate(body, strict=False, extra="ignore")
    except ValidationError as error:
        why = f"{key}: {Unreadable(reasons_of(error))}"
        raise UnreadableDocument(why[:MOST_SAID]) from None  # pydantic's own message repeats what is in the document
