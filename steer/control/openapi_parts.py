"""What the parts of the API's description are made of."""

from typing import Any


def object_of(**properties: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object that has all of these."""
    return {"type": "object", "properties": properties, "required": list(properties)}
