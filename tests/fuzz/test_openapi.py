"""schemathesis makes valid and invalid requests from the whole OpenAPI; none ends in a 5xx other than 503."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from starlette.testclient import TestClient

from app.settings import Settings
from app.web.application import create_app
from tests.versions import SHIPPED

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed; it is in the group dev")

EXAMPLES = 6  # requests an operation and kind
MANY = pytest.param(50, marks=pytest.mark.long)


@pytest.fixture(scope="module")
def service() -> Iterator[TestClient]:
    with TestClient(
        create_app(Settings(model_version=SHIPPED, max_upload_bytes=100_000)), raise_server_exceptions=False
    ) as client:
        yield client


@pytest.mark.filterwarnings("ignore")  # schemathesis's own
@pytest.mark.parametrize("examples", [EXAMPLES, MANY])
def test_no_request_that_openapi_allows_or_forbids_ends_in_a_fault(service: TestClient, examples: int) -> None:
    schema = schemathesis.openapi.from_asgi("/openapi.json", service.app)
    operations = [result.ok() for result in schema.get_all_operations()]
    statuses: dict[str, set[int]] = {}

    for operation in operations:
        for mode in schemathesis.GenerationMode:

            @settings(
                max_examples=examples,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: object) -> None:
                response = case.call(session=service)  # type: ignore[attr-defined]
                statuses.setdefault(operation.label, set()).add(response.status_code)  # noqa: B023
                assert response.status_code < 500 or response.status_code == 503, response.content

            try:
                ask()
            except Exception as error:
                if "Unsatisfiable" not in type(error).__name__:  # an operation without parameters cannot be asked wrongly
                    raise

    assert len(statuses) == len(operations) >= 6
