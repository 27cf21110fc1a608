"""A path means the same wherever the application is mounted."""

import pytest

from app.web.scope import header_of, path_of


@pytest.mark.parametrize(
    ("path", "root", "ours"),
    [
        ("/predict", "", "/predict"),
        ("/numeral/predict", "/numeral", "/predict"),
        ("/numeral/predict", "/numeral/", "/predict"),
        ("/predict", "/numeral", "/predict"),
        ("/numerals/predict", "/numeral", "/numerals/predict"),
        ("/predict", "/", "/predict"),
        ("//admin/models/rollback", "/", "/admin/models/rollback"),
        ("/numeral//admin/models/rollback", "/numeral/", "/admin/models/rollback"),
    ],
)
def test_the_prefix_of_a_path_is_removed(path: str, root: str, ours: str) -> None:
    assert path_of({"path": path, "root_path": root}) == ours


def test_a_root_path_may_be_missing() -> None:
    assert path_of({"path": "/predict"}) == "/predict"


def test_the_first_header_of_a_name_is_found() -> None:
    scope = {"headers": [(b"host", b"x"), (b"content-type", b"image/png"), (b"content-type", b"text/plain")]}

    assert header_of(scope, b"content-type") == b"image/png"
    assert header_of(scope, b"x-request-id") is None
