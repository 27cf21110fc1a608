"""API keys: only the sha256 of each is kept, with a name and a role.

A key is 256 random bits, so that one round of sha256 keeps it as safe as a slow hash would: there is nothing to guess.
"""

import secrets
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import StartupError
from app.settings import Settings

Role = Literal["predict", "admin"]

PREFIX = "numeral_"  # lets scanners for lost secrets know one


class ApiKey(BaseModel):
    """A key as the service keeps it."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    role: Role
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    def __str__(self) -> str:
        """The form in which the settings take it."""
        return f"{self.name}:{self.role}:{self.sha256}"


@dataclass(frozen=True)
class Keyring:
    """The keys that may call."""

    keys: tuple[ApiKey, ...]

    def find(self, presented: bytes) -> ApiKey | None:
        """The key that was presented. Compares with every key in constant time, so that timing reveals nothing."""
        digest, found = sha256(presented).hexdigest(), None
        for key in self.keys:
            if compare_digest(key.sha256, digest):
                found = key
        return found


def make_key(name: str, role: Role) -> tuple[str, ApiKey]:
    """A new key, to be handed over and forgotten, and what is kept of it.

    Raises:
        pydantic.ValidationError: the name or the role is not valid.
    """
    secret = PREFIX + secrets.token_urlsafe(32)
    return secret, ApiKey(name=name, role=role, sha256=sha256(secret.encode("ascii")).hexdigest())


def read_keyring(settings: Settings) -> Keyring | None:
    """The keys of the settings and of their file; None where keys are off.

    Raises:
        StartupError: the file cannot be read, the setting or the file holds no key, an entry is not one, or two share a name.
    """
    lines = [*settings.api_keys, *_read_file(settings)]
    keys = tuple(_parse(line, place) for place, line in enumerate(lines, start=1))
    names = [key.name for key in keys]
    if len(set(names)) < len(names):
        raise StartupError(
            f"Two API keys have one name: {', '.join(sorted({name for name in names if names.count(name) > 1}))}."
        )
    if not keys and "api_keys" in settings.model_fields_set:  # as where a secret that it is filled from is not set
        raise StartupError("The setting for API keys is there and holds none; remove it, to serve without keys.")
    return Keyring(keys) if keys else None


def _read_file(settings: Settings) -> list[str]:
    if settings.api_keys_file is None:
        return []
    try:
        text = settings.api_keys_file.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise StartupError(f"The file of API keys, {settings.api_keys_file}, cannot be read: {error}") from error
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    found = [line for line in lines if line]
    if not found:  # an emptied file must not open the service
        raise StartupError(f"The file of API keys, {settings.api_keys_file}, holds none.")
    return found


def _parse(line: str, place: int) -> ApiKey:
    try:
        name, role, digest = line.split(":")
        return ApiKey.model_validate({"name": name, "role": role, "sha256": digest.lower()})
    except (ValueError, ValidationError):  # of the line nothing is shown: it may be a key itself
        raise StartupError(
            f"API key {place} is not NAME:ROLE:SHA256 with the role predict or admin; `numeral key NAME` makes one."
        ) from None
