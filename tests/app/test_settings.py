"""The settings: their defaults, their environment variables, and their lines in the docs."""

import logging
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.settings import MIB, Settings, available_cpus, describe_faults, unknown_variables, warn_of_unknown_variables

DOCS = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_docs_describe_every_setting() -> None:
    rows = dict(re.findall(r"^\| `NUMERAL_(\w+)` \| .*? \| (.*) \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE))

    assert {name.lower(): text for name, text in rows.items()} == {
        name: field.description for name, field in Settings.model_fields.items()
    }


def test_the_docs_give_the_real_defaults() -> None:
    rows = dict(re.findall(r"^\| `NUMERAL_(\w+)` \| `(.*?)` \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE))

    for name, shown in rows.items():
        default = getattr(Settings(), name.lower())
        assert (f"{default:g}" if isinstance(default, float) else str(default)) == shown.replace(",", "").replace("_", "")


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMERAL_PORT", "9000")
    monkeypatch.setenv("NUMERAL_MAX_UPLOAD_BYTES", str(MIB))
    monkeypatch.setenv("NUMERAL_CORS_ORIGINS", "https://a.example, https://b.example")

    settings = Settings()

    assert (settings.port, settings.max_upload_bytes) == (9000, MIB)
    assert settings.cors_origins == ["https://a.example", "https://b.example"]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("LOG_LEVEL", "INFO", "info"),
        ("LOG_LEVEL", " Warning ", "warning"),
        ("LOG_FORMAT", "JSON", "json"),
        ("PROVIDER", "CPU", "cpu"),
        ("CUDA_PRECISION", "Float16", "float16"),
    ],
)
def test_words_are_taken_in_any_case(name: str, value: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"NUMERAL_{name}", value)

    assert getattr(Settings(), name.lower()) == expected


def test_flags_override_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMERAL_PORT", "9000")

    assert Settings(port=1234).port == 1234


@pytest.mark.parametrize(
    "wrong",
    [{"port": 70_000}, {"provider": "tpu"}, {"max_pixels": 0}, {"worker_threads": 0}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"rate_limit": "0/minute"}, "setting rate_limit: it would refuse every request; leave it empty for no limit."),
        ({"correction_limit": "0/minute"}, "setting correction_limit: it would refuse every request"),
        ({"rate_limit": "60/minute;1000/hour"}, "setting rate_limit: one limit is expected, such as 60/minute; here are 2"),
        ({"decoder_seconds": float("inf")}, "setting decoder_seconds: Input should be a finite number"),
        ({"deadline_seconds": float("nan")}, "setting deadline_seconds: Input should be a finite number"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_the_start(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError) as fault:
        Settings(**wrong)  # type: ignore[arg-type]

    (line,) = describe_faults(fault.value)
    assert line.startswith(told)


ORIGINS = {
    "a slash at the end": ("https://a.example/", "has a slash or a path behind the host: write https://a.example"),
    "a path": ("https://a.example/draw?x", "has a slash or a path behind the host: write https://a.example"),
    "a query": ("https://a.example?x", "has a slash or a path behind the host: write https://a.example"),
    "no scheme": ("a.example", "has no scheme: write https://a.example"),
    "no scheme but a port": ("localhost:3000", "has no scheme: write https://localhost:3000"),
    "brackets": ("[https://a.example]", "has brackets or quotes"),
    "a list in JSON": ('["https://a.example"]', "has brackets or quotes"),
    "quotes": ("'https://a.example'", "has brackets or quotes"),
    "a wildcard": ("https://*.example", "has a wildcard: name each origin, or \\* alone for all"),
    "a wildcard for the port": ("http://localhost:*", "has a wildcard"),
    "capitals": ("https://A.Example", "has capitals, browsers send small letters: write https://a.example"),
    "capitals of the scheme": ("HTTPS://a.example", "has capitals, browsers send small letters: write https://a.example"),
    "the scheme's port": ("https://a.example:443", "has the port that browsers leave out: write https://a.example"),
    "letters beyond ASCII": ("https://ä.example", "has letters beyond ASCII"),
    "no host": ("https://", "is not an origin"),
    "a user": ("https://me@a.example", "is not an origin"),
    "a space": ("https://a.example b", "is not an origin"),
}


@pytest.mark.parametrize(("origin", "told"), ORIGINS.values(), ids=ORIGINS.keys())
def test_an_origin_that_no_browser_sends_is_named_at_the_start(origin: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMERAL_CORS_ORIGINS", f"https://good.example, {origin}")

    with pytest.raises(ValidationError, match=rf"cors_origins\n.*{re.escape(origin.split(',', maxsplit=1)[0])} {told}"):
        Settings()


@pytest.mark.parametrize(
    "origin",
    [
        *(
            "https://a.example",
            "http://localhost:5173",
            "http://127.0.0.1:3000",
            "http://[::1]:3000",
            "https://xn--4ca.example",
        ),
        *("capacitor://localhost", "chrome-extension://abcdefgh", "http://a_b.example:443", "null", "*"),
    ],
)
def test_an_origin_as_browsers_send_it_is_taken(origin: str) -> None:
    assert Settings(cors_origins=[origin]).cors_origins == [origin]


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({"cpu.max": "100000 100000"}, 1),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
    ids=["one CPU", "half a CPU", "no limit", "one CPU, version 1", "no limit, version 1", "no control group"],
)
def test_cpus_are_those_that_the_container_has(tmp_path: Path, files: dict[str, str], cpus: int | None) -> None:
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text + "\n", encoding="ascii")

    assert available_cpus(tmp_path) == (cpus or available_cpus(tmp_path / "nowhere"))


def test_zero_workers_means_one_process_per_cpu() -> None:
    settings = Settings(workers=0)

    assert (settings.workers, settings.threads) == (available_cpus(), 1)


def test_processes_share_the_cpus() -> None:
    cpus = available_cpus()

    assert Settings().threads == cpus
    assert Settings(workers=2 * cpus).threads == 1
    assert Settings(workers=2, worker_threads=7).threads == 7


def test_a_setting_that_is_none_any_more_does_not_stop_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_FRAMES", "MAX_JPEG_PIXELS", "NEVER_THERE"):
        monkeypatch.setenv(f"NUMERAL_{name}", "1")

    assert Settings().max_pixels == 50_000_000


@pytest.mark.parametrize(("threads", "decoders"), [(1, 2), (2, 2), (3, 3), (9, 4)])
def test_decoders_are_as_many_as_threads_from_two_to_four(threads: int, decoders: int) -> None:
    assert Settings(worker_threads=threads).decoders == decoders
    assert Settings(worker_threads=threads, decoder_processes=7).decoders == 7


def test_a_variable_that_sets_nothing_is_named_with_the_one_that_may_be_meant(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        warn_of_unknown_variables({"NUMERAL_MAX_UPLOAD_BYTE": "1", "NUMERAL_XYZZY": "1", "NUMERAL_PORT": "1", "PATH": ""})

    assert [record.getMessage() for record in caplog.records] == [
        "NUMERAL_MAX_UPLOAD_BYTE sets nothing; did you mean NUMERAL_MAX_UPLOAD_BYTES?",
        "NUMERAL_XYZZY sets nothing.",
    ]


def test_all_settings_are_known_in_any_case() -> None:
    assert not unknown_variables({f"numeral_{name}": "" for name in Settings.model_fields})


@pytest.mark.parametrize(
    "name", ["worker_threads", "decoder_processes", "rate_limit", "runtime_dir", "data_dir", "database_url"]
)
def test_an_empty_variable_is_like_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Compose gives it for a variable that is not set; an empty path would be the working directory."""
    monkeypatch.setenv(f"NUMERAL_{name.upper()}", " ")

    assert getattr(Settings(), name) is None


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"batch_window_ms": 60_000, "deadline_seconds": 5}, "batch_window_ms is 60000, and deadline_seconds 5"),
        ({"batch_window_ms": 1000, "deadline_seconds": 1}, "Choose a shorter window"),
        ({"cors_credentials": True}, "cors_origins, which is empty"),
        ({"cors_private_network": True}, "cors_origins, which is empty"),
    ],
)
def test_settings_that_can_never_work_together_are_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Settings(**values)
