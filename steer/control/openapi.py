"""What the HTTP API offers, as OpenAPI 3.1."""

from typing import Any

from steer import __version__
from steer.control.openapi_changes import changes_paths, changes_schemas
from steer.control.openapi_evidence import evidence_paths, evidence_schemas
from steer.control.openapi_parts import object_of

_FAULTS = {
    "description": "Refused; every fault with what to do about it",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Faults"}}},
}


def openapi_description() -> dict[str, Any]:
    """The description as a JSON object."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "steer",
            "version": __version__,
            "description": "State, explanations and break-glass of one steer nameserver.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            "/v1/state": {"get": _get("state", "What serves, how the POPs are, and what waits", "State")},
            "/v1/explain": {"get": _explain()},
            "/v1/demand": {"get": _demand()},
            "/v1/overrides": {"post": _overrides()},
            **changes_paths(_FAULTS),
            **evidence_paths(_FAULTS),
            "/v1/openapi.json": {"get": _get("openapi", "This description", "Any")},
            "/metrics": {"get": _text("metrics", "Prometheus metrics", "200")},
            "/healthz": {"get": _text("healthz", "Whether queries are answered", "200", "503")},
            "/": {"get": _text("dashboard", "The dashboard, for people", "200")},
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {**_schemas(), **changes_schemas(), **evidence_schemas()},
        },
    }


def _get(identity: str, summary: str, schema: str) -> dict[str, Any]:
    body = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {
        "operationId": identity,
        "summary": summary,
        "responses": {"200": {"description": summary, "content": body}},
    }


def _text(identity: str, summary: str, *codes: str) -> dict[str, Any]:
    return {
        "operationId": identity,
        "summary": summary,
        "responses": {code: {"description": summary} for code in codes},
    }


def _explain() -> dict[str, Any]:
    texts = {
        "name": "A name that is served, such as www.cdn.example",
        "type": "A or AAAA (the default is A)",
        "client": "The client's prefix as ECS would give it, such as 133.1.0.0/24; none: a query without ECS",
        "resolver": "The address that the query comes from (the default is 127.0.0.1)",
    }
    operation = _get("explain", "Why a client gets its answer", "Explanation")
    operation["parameters"] = [
        {
            "name": name,
            "in": "query",
            "required": name == "name",
            "description": text,
            "schema": {"type": "string", "maxLength": 300},
        }
        for name, text in texts.items()
    ]
    operation["responses"]["400"] = _FAULTS
    return operation


def _demand() -> dict[str, Any]:
    operation = _get("demand", "How many queries for steered names come per client unit, decayed", "Demand")
    operation["parameters"] = [
        {
            "name": "top",
            "in": "query",
            "description": "How many units are shown, the largest first",
            "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
        }
    ]
    operation["responses"]["400"] = _FAULTS
    return operation


def _overrides() -> dict[str, Any]:
    operation = _get("overrides", "Add or take back a line of overrides.yaml", "Overrides")
    operation["security"] = [{"token": []}]
    operation["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Change"}}},
    }
    operation["responses"] |= {
        "400": _FAULTS,
        "401": {"description": "The bearer token is missing or wrong"},
        "403": {"description": "No token is configured, so nothing can be changed"},
    }
    return operation


def _schemas() -> dict[str, Any]:
    text, number, boolean = {"type": "string"}, {"type": "number"}, {"type": "boolean"}
    moment = {"type": "number", "description": "Unix seconds"}
    maybe_moment = {"type": ["number", "null"], "description": "Unix seconds"}
    fault = object_of(
        file=text, line={"type": "integer"}, column={"type": "integer"}, wrong=text, fix=text, text=text
    )
    load = {**object_of(current=number, target=number, max=number, at_s=moment), "type": ["object", "null"]}
    pop = object_of(
        pop=text,
        region={"type": ["string", "null"]},
        location={"type": "array", "items": number},
        ipv4={"type": "array", "items": text},
        ipv6={"type": "array", "items": text},
        status_url={"type": ["string", "null"]},
        state={"enum": ["up", "degraded", "drained", "down", "unknown"]},
        reason=text,
        since_s=moment,
        seen_s={**moment, "description": "Unix seconds of the last report; 0: never"},
        changing=boolean,
        load=load,
        polls={"type": "array", "items": object_of(at_s=moment, text=text, duration_ms=number)},
    )
    held = {
        **object_of(
            by={"enum": ["guard", "rollout", "rollback"]},
            hash={**text, "description": "What /v1/apply takes"},
            since_s=moment,
            moved={"type": ["number", "null"], "description": "Share of the demand that it would move"},
            limit={"type": ["number", "null"]},
            number={"type": ["integer", "null"], "description": "Of a rollback: what serves"},
        ),
        "type": ["object", "null"],
        "description": "A sound version that waits",
    }
    forced = object_of(scope=text, target=text, reason=text, expires_s=maybe_moment)
    drain = object_of(pop=text, service={"type": ["string", "null"]}, reason=text, expires_s=maybe_moment)
    overrides = object_of(forced={"type": "array", "items": forced}, drains={"type": "array", "items": drain})
    return {
        "Any": {"type": "object"},
        "Faults": object_of(faults={"type": "array", "items": fault}),
        "Overrides": overrides,
        "Change": {
            "oneOf": [
                {**object_of(scope=text, target=text, reason=text), "title": "Force a target"},
                {**object_of(drain=text, reason=text), "title": "Drain a POP"},
                {**object_of(remove=text), "title": "Take back the line of this scope or POP"},
            ],
            "description": "`for`: how long, such as 30m; left out: until taken back. `service`: of a drain.",
        },
        "State": object_of(
            version=text,
            node={"type": "object"},
            engine={"type": "object"},
            hashes={"type": "object", "additionalProperties": text},
            zones={"type": "array"},
            services={
                "type": "object",
                "additionalProperties": object_of(pops={"type": "array", "items": pop}),
            },
            stale={
                "type": "boolean",
                "description": "Whether nothing is known of how the POPs are now: their states are old",
            },
            alarms={"type": "array", "items": object_of(name=text, text=text)},
            overrides=overrides,
            pending={"type": ["object", "null"]},
            held=held,
            signing={"type": ["object", "null"]},
            evidence={
                **object_of(learned={"type": ["object", "null"]}, learning={"type": ["string", "null"]}),
                "description": "What the last learning from measurements came to, and how far one is",
            },
            counters={"type": "object", "additionalProperties": {"type": "integer"}},
        ),
        "Explanation": {"type": "object"},
        "Demand": _demand_schema(),
    }


def _demand_schema() -> dict[str, Any]:
    number, integer, moment = (
        {"type": "number"},
        {"type": "integer"},
        {"type": "number", "description": "Unix seconds"},
    )
    unit = object_of(
        prefix={"type": "string", "description": "A /24 or /48; where these were too many, a /16 or /32"},
        by={"enum": ["ecs", "resolver"], "description": "Whether ECS named it, or it is the resolver's"},
        queries=number,
    )
    return object_of(
        at_s=moment,
        since_s=moment,
        half_life_s=number,
        queries=number,
        ecs_queries=number,
        resolver_queries=number,
        queries_of_unknown_units=number,
        units=integer,
        wider_units=integer,
        top={"type": "array", "items": unit},
    )
