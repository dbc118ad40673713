# SPDX-License-Identifier: Apache-2.0
"""The API's own description: of all that there is, and true. Schemathesis makes the requests."""

from __future__ import annotations

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.unit.api.served import SERVICE, InMemory, server

from xlvs.api.app import ENDPOINTS

TRUE = [
    not_a_server_error,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]


def director():
    """One with something to read and to change."""
    made = InMemory()
    assert made("PUT", SERVICE, {"scheduler": "wrr"}).status == 201
    assert made("PUT", server(1), {"method": "nat"}).status == 201
    made.bus.close()  # events end when all are told
    return made


DIRECTOR = director()
SCHEMA = schemathesis.openapi.from_asgi("/v1/openapi.json", DIRECTOR.with_caller)


FILES = "^/v1/(plan|apply)$"
"""These take the same, all that a configuration file may say: it takes long to make that up."""


@SCHEMA.exclude(path_regex=FILES).parametrize()
@settings(max_examples=15, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_answers_are_as_described(case):
    case.call_and_validate(checks=TRUE)


@SCHEMA.include(path="/v1/plan").parametrize()
@settings(max_examples=1, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_answers_about_files_are_as_described(case):
    case.call_and_validate(checks=TRUE)


def test_every_endpoint_is_described():
    document = DIRECTOR("GET", "/v1/openapi.json").json
    described = {
        (method.upper(), path) for path, each in document["paths"].items() for method in each
    }
    assert {(each.method, each.path) for each in ENDPOINTS} < described
    ids = [each["operationId"] for path in document["paths"].values() for each in path.values()]
    assert len(set(ids)) == len(ids)
    assert all(each["description"] for path in document["paths"].values() for each in path.values())
