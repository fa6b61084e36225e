"""The network ways in of measurements, as OpenAPI 3.1: the API's batches, and the page scripts' own
listener."""

from typing import Any

from steer.control.measurements_api import BODY_BYTES_MAX, CONTENT_TYPES, INFLATED_BYTES_MAX

_BEACON_SERVER = {
    "url": "http://{listen}",
    "description": "The listener of page scripts (`evidence: {beacon: {listen: …}}`), usually behind a proxy "
    "that speaks TLS",
    "variables": {"listen": {"default": "127.0.0.1:8054"}},
}
_LATER = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds"}}


def evidence_paths(faults: dict[str, Any]) -> dict[str, Any]:
    """The paths. `faults`: the response of what is refused."""
    return {
        "/v1/measurements": {"post": _measurements(faults)},
        "/beacon.js": _on_beacon(get=_script()),
        "/v1/beacon/candidates": _on_beacon(get=_candidates()),
        "/v1/beacon": _on_beacon(post=_beacon()),
    }


def evidence_schemas() -> dict[str, Any]:
    """What they speak of."""
    text, whole = {"type": "string"}, {"type": "integer"}
    target = {"type": "string", "pattern": "^(anycast|region:.+|pop:.+)$"}
    measurement = {
        "time": {"type": ["number", "string"], "description": "Unix seconds, or RFC 3339"},
        "client": {**text, "description": "Address or prefix; cut to its /24 or /48 before it is written"},
        "resolver": {**text, "description": "Address or prefix of the client's resolver"},
        "service": {**text, "default": "default"},
        "target": {**target, "description": "What was asked"},
        "pop": {**text, "description": "The POP that served"},
        "rtt_ms": {"type": "number", "minimum": 0.05, "maximum": 10_000},
        "weight": {"type": "number", "default": 1},
        "arm": {**text, "description": "Of an experiment"},
    }
    result = {"target": target, "pop": text, "rtt_ms": {"type": "number"}, "tries": whole}
    url = {"target": target, "url": {"type": "string", "format": "uri"}}
    example = {"line": whole, "wrong": text, "fix": text}
    return {
        "Measurement": {**_object(measurement, "time", "client", "target"), "title": "One line"},
        "Batch": _object(
            {
                "taken": whole,
                "left_out": {"type": "object", "additionalProperties": whole, "description": "By reason"},
                "examples": {"type": "array", "items": _object(example, *example)},
                "again": {"type": "boolean", "description": "Whether it waits already; it counts once"},
            },
            "taken",
            "left_out",
            "examples",
            "again",
        ),
        "Candidates": _object(
            {"ticket": text, "targets": {"type": "array", "items": _object(url, *url)}}, "ticket", "targets"
        ),
        "Report": {
            **_object(
                {
                    "ticket": text,
                    "timing": {"enum": ["resource", "clock"]},
                    "results": {"type": "array", "items": _object(result, "target", "rtt_ms", "tries")},
                },
                "ticket",
                "timing",
                "results",
            ),
            "additionalProperties": False,
        },
    }


def _measurements(faults: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "string", "contentMediaType": CONTENT_TYPES[0], "maxLength": BODY_BYTES_MAX}
    schema["description"] = "One #/components/schemas/Measurement a line"
    line = {"$ref": "#/components/schemas/Measurement"}
    body = {content_type: {"schema": schema, "x-line-schema": line} for content_type in CONTENT_TYPES}
    return {
        "operationId": "measurements",
        "summary": "A batch of measurements, as JSON lines",
        "description": f"At most {BODY_BYTES_MAX:,} bytes; with `Content-Encoding: gzip` at most "
        f"{INFLATED_BYTES_MAX:,} when inflated. It is on the disk when it is answered; sent again, it counts "
        "once.",
        "security": [{"token": []}],
        "requestBody": {"required": True, "content": body},
        "responses": {
            "200": _json("What was taken, and what was left out and why", "Batch"),
            "400": faults,
            "401": {"description": "The bearer token is missing or wrong"},
            "403": {"description": "No token is configured, so nothing is taken"},
            "413": {"description": "Too many bytes"},
            "415": {"description": "No JSON lines, or an unknown encoding"},
            "429": {"description": "Too many batches or rows a second", "headers": _LATER},
            "503": {"description": "The spool is full", "headers": _LATER},
        },
    }


def _script() -> dict[str, Any]:
    return {
        "operationId": "beaconScript",
        "summary": "The script that a site includes",
        "responses": {
            "200": {"description": "JavaScript"},
            "404": {"description": "Page scripts are not wanted"},
        },
    }


def _candidates() -> dict[str, Any]:
    return {
        "operationId": "beaconCandidates",
        "summary": "What one page view measures, and its ticket",
        "responses": {
            "200": _json("The targets, in no order, and a ticket for one report", "Candidates"),
            "403": {"description": "The client is unknown, or its address is not public"},
            "429": {"description": "Too many page views of its network, or in all", "headers": _LATER},
        },
    }


def _beacon() -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Report"}
    return {
        "operationId": "beacon",
        "summary": "The report of one page view",
        "requestBody": {
            "required": True,
            "content": {each: {"schema": schema} for each in ("text/plain", "application/json")},
        },
        "responses": {
            "204": {"description": "Taken, and on the disk"},
            "400": {"description": "Not what the script sends, or nothing usable in it"},
            "403": {"description": "The ticket is of nobody, of another network, or too old"},
            "409": {"description": "The ticket was used"},
            "413": {"description": "Too many bytes"},
            "429": {"description": "Too many reports of its network", "headers": _LATER},
            "503": {"description": "The spool is full", "headers": _LATER},
        },
    }


def _on_beacon(**operations: dict[str, Any]) -> dict[str, Any]:
    return {"servers": [_BEACON_SERVER], **operations}


def _json(description: str, schema: str) -> dict[str, Any]:
    body = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "content": body}


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}
