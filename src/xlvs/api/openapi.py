# SPDX-License-Identifier: Apache-2.0
"""The API's own description, OpenAPI 3.1, made of the table of endpoints and their types."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from xlvs.api.answers import JSON, json
from xlvs.api.backend import Backend
from xlvs.api.endpoint import CHANGING, STREAM, Endpoint
from xlvs.model.service import Address, Interface, Network
from xlvs.wire.messages import ErrorBody

PATH = "/v1/openapi.json"

Schema = dict[str, Any]

_REFERENCE = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"{(\w+)}")
_FORMS: dict[Any, Schema] = {
    Address: {"anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]},
    Network: {"description": "a prefix of IPv4 or IPv6, such as 10.0.0.0/8"},
    Interface: {"description": "an address with the length of its prefix, such as 10.0.0.1/24"},
}
"""Texts of types that msgspec does not know."""

_PLACE = r"([0-9.]+|\[[0-9a-fA-F:.]+\]):[0-9]+"
_PARAMETERS: dict[str, Schema] = {
    "protocol": {
        "schema": {"type": "string", "enum": ["tcp", "udp", "sctp", "fwm", "fwm6"]},
        "description": "fwm, fwm6: a service by a firewall mark, IPv4's or IPv6's",
    },
    "name": {
        "schema": {"type": "string", "pattern": f"^({_PLACE}|[0-9]+)$"},
        "description": "ADDRESS:PORT, [IPv6 ADDRESS]:PORT, or the firewall mark",
        "example": "10.0.0.1:80",
    },
    "destination": {
        "schema": {"type": "string", "pattern": f"^{_PLACE}$"},
        "description": "the real server: ADDRESS:PORT or [IPv6 ADDRESS]:PORT",
        "example": "192.168.200.11:80",
    },
    "list": {
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
        "description": "a list of clients",
        "example": "office",
    },
}
_TAG = {"schema": {"type": "string"}, "description": "the token of what the resource says"}
_CONDITIONS = {
    "If-Match": "the ETag that the writer has read: refused with 412 if it is another by now",
    "If-None-Match": "*: refused with 412 if there is such a resource",
}
_WORDS = {
    200: "as asked for",
    201: "it is new",
    204: "done; nothing more to say, or nothing has changed",
    304: "as the client has it",
    400: "the request is malformed",
    401: "over TCP: no token, or one that is not known",
    403: "the caller may not do this",
    404: "no such thing",
    406: "the client does not take the type that there is",
    412: "somebody has changed it meanwhile, or it is there already: nothing was changed",
    413: "the body is too long",
    415: "the body is of a type that is not taken",
    422: "refused, with the reason and the place: nothing was changed",
    500: "the daemon or the data path failed: nothing was changed",
}


def description(endpoints: Iterable[Endpoint]) -> Endpoint:
    """The endpoint that describes the others, and itself."""

    async def openapi(_backend: Backend, _request: Request) -> Response:
        """This description of the API."""
        return json(described())

    own = Endpoint("GET", PATH, openapi, answer=dict[str, Any])
    described = functools.cache(functools.partial(document, (*endpoints, own)))
    return own


def document(endpoints: Iterable[Endpoint]) -> Schema:
    """The description of these endpoints."""
    every = tuple(endpoints)
    types = list(dict.fromkeys(_types(every)))
    schemas, components = msgspec.json.schema_components(
        types, schema_hook=_text, ref_template=_REFERENCE
    )
    by_type = dict(zip(types, schemas, strict=True))
    paths: dict[str, Schema] = {}
    for each in every:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, by_type, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "xlvs director",
            "version": "1",
            "summary": "The Linux Virtual Server with an eBPF data plane.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        # Over the Unix socket it is the socket's mode that says who may.
        "security": [{}, {"token": []}],
    }


def _types(endpoints: Iterable[Endpoint]) -> Iterator[Any]:
    yield ErrorBody
    for each in endpoints:
        kinds = (each.body, *(kind for _, kind in each.answers))
        yield from (kind for kind in kinds if kind is not None)


def _text(kind: type) -> Schema:
    return {"type": "string", **_FORMS[kind]}


def _operation(each: Endpoint, types: dict[Any, Schema], components: Schema) -> Schema:
    resource = inspect.getmodule(each.handler)
    tag = resource.__name__.rpartition(".")[2] if resource else ""
    found: Schema = {
        "operationId": f"{tag}.{each.handler.__name__}",
        "tags": [tag],
        "description": inspect.getdoc(each.handler) or "",
        "parameters": list(_parameters(each)),
        "responses": {
            str(status): _response(each, status, types) for status in sorted(_statuses(each))
        },
        "x-scope": each.needs.name.lower(),
    }
    if each.body is not None:
        schema = _sent(each, types[each.body], components)
        content = {kind: {"schema": schema} for kind in each.accepts}
        found["requestBody"] = {"required": True, "content": content}
    return found


def _parameters(each: Endpoint) -> Iterator[Schema]:
    for name in _PARAMETER.findall(each.path):
        yield {"name": name, "in": "path", "required": True, **_PARAMETERS[name]}
    if each.query is not None:
        schema, components = msgspec.json.schema_components([each.query], schema_hook=_text)
        del schema
        said = components[each.query.__name__]
        for name, field in said["properties"].items():
            required = name in said["required"]
            yield {"name": name, "in": "query", "required": required, "schema": field}
    if each.method in CHANGING or each.guarded:
        for name, words in _CONDITIONS.items():
            yield {
                "name": name,
                "in": "header",
                "required": False,
                "schema": {"type": "string"},
                "description": words,
            }


def _statuses(each: Endpoint) -> set[int]:
    found = {400, 401, 403, 406, 500}
    changing = each.method in CHANGING
    if each.answer is not None or not changing:
        found.add(200)
    if each.creates:
        found.add(201)
    if changing:
        found |= {204, 412, 422}
    if each.tagged:
        found.add(304)
    if "{" in each.path:
        found.add(404)
    if each.body is not None:
        found |= {413, 415, 422}
    if each.query is not None:
        found.add(422)
    if each.guarded:
        found.add(412)
    if each.query is not None:
        found.add(422)
    return found


def _response(each: Endpoint, status: int, types: dict[Any, Schema]) -> Schema:
    found: Schema = {"description": _WORDS[status]}
    if status in {200, 201}:
        found["content"] = {
            media_type: {"schema": _content(media_type, types.get(kind, {"type": "string"}))}
            for media_type, kind in each.answers
        }
        if each.tagged or each.method in CHANGING:
            found["headers"] = {"ETag": _TAG}
    elif status not in {204, 304}:
        found["content"] = {JSON: {"schema": types[ErrorBody]}}
    return found


def _content(media_type: str, schema: Schema) -> Schema:
    if media_type != STREAM:
        return schema
    # A server-sent event is fields of text, one of which has the JSON.
    data = {"type": "string", "contentMediaType": JSON, "contentSchema": schema}
    fields = {"id": {"type": "string"}, "event": {"type": "string"}, "data": data}
    return {"type": "object", "properties": fields, "required": ["data"]}


def _sent(each: Endpoint, schema: Schema, components: Schema) -> Schema:
    """What the body may be: without what the path implies, in part for a patch."""
    name = schema.get("$ref", "").rpartition("/")[2]
    if not name or (each.method != "PATCH" and not each.implied):
        return schema
    whole = components[name]
    partial = each.method == "PATCH"
    left = [] if partial else [n for n in whole["required"] if n not in each.implied]
    return {**whole, "title": f"{name}, {'changes' if partial else 'new'}", "required": left}
