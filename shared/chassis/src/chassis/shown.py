"""What the HTTP APIs answer with."""

from pydantic import BaseModel, ConfigDict


class Shown(BaseModel):
    """Something as the API shows it: read off what is remembered, and described by the docstrings of its fields."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)
