"""What is looked at before a server starts."""

import logging

import pytest

from app.settings import Settings
from app.web.server import unknown_variables, warn_of_unknown_variables


def test_a_variable_that_sets_nothing_is_named_with_the_one_that_may_be_meant(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        warn_of_unknown_variables({"NUMERAL_MAX_UPLOAD_BYTE": "1", "NUMERAL_XYZZY": "1", "NUMERAL_PORT": "1", "PATH": ""})

    assert [record.getMessage() for record in caplog.records] == [
        "NUMERAL_MAX_UPLOAD_BYTE sets nothing; did you mean NUMERAL_MAX_UPLOAD_BYTES?",
        "NUMERAL_XYZZY sets nothing.",
    ]


def test_all_settings_are_known_in_any_case() -> None:
    assert not unknown_variables({f"numeral_{name}": "" for name in Settings.model_fields})
