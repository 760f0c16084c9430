"""A secret in the body of a request to the operator's API: checked as one of the file, and never shown."""

from typing import Annotated

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from proxy.config.values import read_secret_text
from proxy.core.secret import Secret

SecretText = Annotated[
    Secret,
    PlainValidator(read_secret_text),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "writeOnly": True}),
]
