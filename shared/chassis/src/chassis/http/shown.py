"""What the HTTP APIs answer with."""

from typing import TypeVar

from fastapi import Response
from pydantic import BaseModel, ConfigDict


class Shown(BaseModel):
    """Something as the API shows it: read off what is remembered, and described by the docstrings of its fields."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)


class Accepted(Shown):
    """A request that is on its way, as a message."""

    status_url: str
    """Where to see what becomes of it; `Location` says the same."""


A = TypeVar("A", bound=Accepted)


def accepted(answer: A, response: Response) -> A:
    """The answer, with a `Location` that says the same."""
    response.headers["Location"] = answer.status_url
    return answer
