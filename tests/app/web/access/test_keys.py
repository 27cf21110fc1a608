"""API keys: how they are made, kept and read."""

from hashlib import sha256
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli.app import cli
from app.errors import StartupError
from app.settings import Settings
from app.web.access.keys import make_key, read_keyring

run = CliRunner().invoke
DIGEST = "0" * 64


def test_a_key_is_found_by_its_secret_alone() -> None:
    secret, kept = make_key("phone", "predict")
    other, other_kept = make_key("web", "admin")
    keyring = read_keyring(Settings(api_keys=[str(kept), str(other_kept)]))

    assert keyring is not None
    assert keyring.find(secret.encode()) == kept
    assert keyring.find(other.encode()) == other_kept
    assert keyring.find(secret.encode() + b" ") is None
    assert keyring.find(kept.sha256.encode()) is None


def test_two_keys_of_one_owner_differ() -> None:
    assert make_key("phone", "predict")[0] != make_key("phone", "predict")[0]


def test_the_command_prints_the_secret_apart_from_the_line_that_the_service_keeps() -> None:
    result = run(cli, ["key", "phone", "--role", "admin"])

    secret = result.stderr.split()[-1]
    assert result.exit_code == 0
    assert result.stdout == f"phone:admin:{sha256(secret.encode()).hexdigest()}\n"
    assert len(secret) > 40


@pytest.mark.parametrize(
    "arguments", [["a:b"], [""], ["x" * 65], ["phone", "--role", "root"]], ids=["colon", "empty", "long", "role"]
)
def test_the_command_refuses_invalid_names_and_roles(arguments: list[str]) -> None:
    result = run(cli, ["key", *arguments])

    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


def test_without_keys_there_is_no_keyring() -> None:
    assert read_keyring(Settings()) is None


def test_keys_come_from_the_environment_and_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keys").write_text(f"# ours\n\nweb:admin:{DIGEST}  # till May\n", encoding="utf-8")
    monkeypatch.setenv("NUMERAL_API_KEYS", f"phone:predict:{DIGEST}, kiosk:predict:{DIGEST.replace('0', 'A')}")
    monkeypatch.setenv("NUMERAL_API_KEYS_FILE", str(tmp_path / "keys"))

    keyring = read_keyring(Settings())

    assert keyring is not None
    assert [(key.name, key.role) for key in keyring.keys] == [("phone", "predict"), ("kiosk", "predict"), ("web", "admin")]


@pytest.mark.parametrize(
    "entry",
    ["secret-by-mistake", f"phone:root:{DIGEST}", "phone:admin:short", f":admin:{DIGEST}", f"phone:admin:{DIGEST}:x"],
    ids=["no entry", "role", "digest", "no name", "too much"],
)
def test_a_wrong_entry_stops_the_start_and_is_not_shown(entry: str) -> None:
    with pytest.raises(StartupError, match="API key 1 is not NAME:ROLE:SHA256") as error:
        read_keyring(Settings(api_keys=[entry]))

    assert entry not in str(error.value)
    assert error.value.__cause__ is None


def test_two_keys_of_one_name_stop_the_start() -> None:
    with pytest.raises(StartupError, match="one name: phone"):
        read_keyring(Settings(api_keys=[f"phone:admin:{DIGEST}", f"phone:predict:{DIGEST}"]))


@pytest.mark.parametrize("text", [None, "", "# nobody\n", b"\xff"], ids=["missing", "empty", "comment", "no text"])
def test_a_file_without_keys_never_opens_the_service(tmp_path: Path, text: str | bytes | None) -> None:
    path = tmp_path / "keys"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    with pytest.raises(StartupError, match="file of API keys"):
        read_keyring(Settings(api_keys_file=path))


def test_an_empty_setting_never_opens_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMERAL_API_KEYS", " ")

    with pytest.raises(StartupError, match="holds none"):
        read_keyring(Settings())


def test_the_server_ends_with_one_line_if_keys_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMERAL_API_KEYS", "nonsense")

    result = run(cli, ["serve", "--port", "0"])

    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("numeral: cannot start: API key 1")
