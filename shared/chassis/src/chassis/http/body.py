"""Bodies of HTTP requests, read as strictly as messages from Kafka."""

from pydantic import BaseModel, GetCoreSchemaHandler, ValidatorFunctionWrapHandler
from pydantic_core import CoreSchema, core_schema


class AsJson:
    """Says that a request's body is read as the JSON that it came as: `order: Annotated[OrderPlaced, AsJson]`.

    The HTTP shell hands over the bytes. FastAPI would parse them itself and validate Python values, among which a
    strict model misses its tuples and times; a lax one would take `"3"` for `3`.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[BaseModel], handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(value: bytes, _: ValidatorFunctionWrapHandler) -> BaseModel:
            return source.model_validate_json(value)

        return core_schema.no_info_wrap_validator_function(read, handler(source))
