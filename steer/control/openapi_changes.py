"""The part of the API that is about versions, as OpenAPI 3.1."""

from typing import Any

from steer.control.openapi_parts import object_of

_HASH = {"type": "string", "pattern": "^[0-9a-f]{16}$"}
_TEXT = {"type": "string"}


def changes_paths(faults: dict[str, Any]) -> dict[str, Any]:
    """The paths. `faults`: the response to what is refused."""
    return {
        "/v1/apply": {
            "post": _post(
                faults,
                "apply",
                "Take up the policy directory as it is now; with a hash, whatever it moves",
                "Apply",
                "Applied",
            )
        },
        "/v1/rollback": {
            "post": _post(
                faults,
                "rollback",
                "Serve a deployment of the store until the directory changes or is applied",
                "Rollback",
                "RolledBack",
            )
        },
        "/v1/history": {"get": _get("history", "The deployments of the store, the newest first", "History")},
        "/v1/movement": {
            "get": _get("movement", "What the version that the guard measured last would move", "Movement")
        },
    }


def changes_schemas() -> dict[str, Any]:
    """The schemas that the paths name."""
    deployment = object_of(
        number={"type": "integer"},
        policy=_TEXT,
        map=_TEXT,
        saved_s={"type": "number", "description": "Unix seconds"},
        serving={"type": "boolean"},
    )
    hashes = {"type": "object", "additionalProperties": _TEXT}
    outcomes = ["done", "held", "unchanged", "refused", "superseded", "under way"]
    return {
        "Apply": {
            "type": "object",
            "properties": {"hash": {**_HASH, "description": "Of the version to take, as plan shows it"}},
            "additionalProperties": False,
        },
        "Applied": object_of(outcome={"enum": outcomes}, hashes=hashes, summary=_TEXT),
        "Rollback": {
            "type": "object",
            "properties": {
                "number": {
                    "type": "integer",
                    "minimum": 1,
                    "description": "Which one; left out: the newest before the one that serves",
                }
            },
            "additionalProperties": False,
        },
        "RolledBack": object_of(number={"type": "integer"}, hashes=hashes),
        "History": object_of(deployments={"type": "array", "items": deployment}),
        "Movement": object_of(
            movement={
                "type": ["object", "null"],
                "description": "As `steer plan --json` prints it, with the `hash` of the version",
            }
        ),
    }


def _get(identity: str, summary: str, schema: str) -> dict[str, Any]:
    return {
        "operationId": identity,
        "summary": summary,
        "responses": {"200": {"description": summary, "content": _body(schema)}},
    }


def _post(faults: dict[str, Any], identity: str, summary: str, given: str, told: str) -> dict[str, Any]:
    return {
        **_get(identity, summary, told),
        "security": [{"token": []}],
        "requestBody": {"required": True, "content": _body(given)},
        "responses": {
            "200": {"description": summary, "content": _body(told)},
            "400": faults,
            "401": {"description": "The bearer token is missing or wrong"},
            "403": {"description": "No token is configured, so nothing can be changed"},
        },
    }


def _body(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
