"""The OpenAPI document, and requests that Schemathesis makes up from it: none is answered as nobody expected."""

from collections import Counter

import hypothesis
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
EXAMPLES = 12  # of each route
STREAMS = ("/v1/stream",)  # has no end


def test_every_route_is_in_the_document(site):
    document = site("/v1/openapi.json").json

    assert document["openapi"].startswith("3.1")
    for path in ("/v1/contexts/{ref}", "/v1/contexts/resolve", "/v1/events", "/v1/correlations/{correlation_id}/nodes"):
        assert path in document["paths"]
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation["description"]
            assert {"401", "404", "429", "503"} <= set(operation["responses"])
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


def test_requests_made_up_from_the_document(site, seed):
    """The seed is printed; the same again makes up the same requests."""
    schema = schemathesis.openapi.from_dict(site("/v1/openapi.json").json)
    schema.config.base_url = site.gateway.url
    headers = {"Authorization": f"Bearer {site.gateway.token}"}
    answers = Counter()
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path in STREAMS:
            continue

        @hypothesis.seed(seed)
        @settings(
            max_examples=EXAMPLES, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @hypothesis.given(case=operation.as_strategy())
        def call(case):
            answers[case.call_and_validate(headers=headers, checks=CHECKS, timeout=20).status_code] += 1

        call()
    print(dict(answers))
    assert answers.total() > 20 * EXAMPLES / 2
    assert answers.keys() >= {200, 400, 404}  # it came past the guard, to all kinds of ends
