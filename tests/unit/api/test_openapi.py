# SPDX-License-Identifier: Apache-2.0
"""The API's own description: of all that there is, and true. Schemathesis makes the requests."""

from __future__ import annotations

import json
from collections import defaultdict

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from tests.unit.api.served import SERVICE, InMemory, server
from tests.unit.datapath_plan.build import real

from xlvs.api.app import ENDPOINTS
from xlvs.api.endpoint import Endpoint
from xlvs.api.openapi import document

TRUE = [
    not_a_server_error,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
]

DIRECTOR = InMemory()
DIRECTOR.bus.close()  # events end when all are told
SCHEMA = schemathesis.openapi.from_asgi("/v1/openapi.json", DIRECTOR.with_caller)
STATUSES = defaultdict(set)

FILES = "^/v1/(plan|apply)$"
"""These take all that a configuration file may say: to make that up takes half a minute each."""


@schemathesis.serializer("application/x-ndjson")
def one_line(_context, value):
    return json.dumps(value).encode()


@SCHEMA.hook
def map_path_parameters(_context, path_parameters):
    """Half of the time what there is: nobody guesses that."""
    known = {"protocol": "tcp", "name": "10.0.0.1:80", "destination": f"{real(1)}:80"}
    known["list"] = "office"
    if path_parameters and len(str(path_parameters)) % 2:
        return {name: known[name] for name in path_parameters}
    return path_parameters


@SCHEMA.hook
def map_headers(_context, headers):
    """Half of the time without conditions: nobody guesses a digest."""
    if headers and len(str(headers)) % 2:
        return {name: value for name, value in headers.items() if not name.startswith("If-")}
    return headers


def something_to_change():
    DIRECTOR("PUT", SERVICE, {"scheduler": "wrr"})
    DIRECTOR("PUT", server(1), {"method": "nat"})
    DIRECTOR("PUT", f"{server(1)}/drain", {})
    DIRECTOR("PUT", "/v1/lists/office", {"prefixes": ["192.0.2.0/24"]})


@SCHEMA.exclude(path_regex=FILES).parametrize()
@settings(max_examples=10, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_answers_are_as_described(case):
    something_to_change()
    before = DIRECTOR.world.director.desired
    answer = case.call_and_validate(checks=TRUE)
    if answer.status_code >= 400:
        assert DIRECTOR.world.director.desired is before  # refused as a whole
    STATUSES[case.operation.label].add(answer.status_code)


def test_not_only_refusals_were_looked_at():
    """By the test above, if it ran."""
    assert not {label for label, found in STATUSES.items() if min(found) >= 300}


def test_every_endpoint_is_described():
    document = DIRECTOR("GET", "/v1/openapi.json").json
    described = {
        (method.upper(), path) for path, each in document["paths"].items() for method in each
    }
    assert {(each.method, each.path) for each in ENDPOINTS} < described
    ids = [each["operationId"] for path in document["paths"].values() for each in path.values()]
    assert len(set(ids)) == len(ids)
    assert all(each["description"] for path in document["paths"].values() for each in path.values())


def test_answers_of_several_types():
    async def numbers(_backend, _request):
        """Numbers."""

    kinds = (("text/plain", None), ("application/json", int))
    made = Endpoint("GET", "/numbers", numbers, media_type="text/csv", also=kinds)
    content = document([made])["paths"]["/numbers"]["get"]["responses"]["200"]["content"]
    assert {kind: each["schema"]["type"] for kind, each in content.items()} == {
        "text/csv": "string",
        "text/plain": "string",
        "application/json": "integer",
    }
