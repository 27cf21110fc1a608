"""Where the application is mounted makes no difference to what a path means."""

import pytest

from app.paths import path_of


@pytest.mark.parametrize(
    ("path", "root", "ours"),
    [
        ("/predict", "", "/predict"),
        ("/numeral/predict", "/numeral", "/predict"),
        ("/numeral/predict", "/numeral/", "/predict"),
        ("/predict", "/numeral", "/predict"),
        ("/numerals/predict", "/numeral", "/numerals/predict"),
        ("/predict", "/", "/predict"),
    ],
)
def test_what_stands_before_the_path_is_taken_off(path: str, root: str, ours: str) -> None:
    assert path_of({"path": path, "root_path": root}) == ours


def test_a_root_path_may_be_missing() -> None:
    assert path_of({"path": "/predict"}) == "/predict"
