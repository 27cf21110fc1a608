"""Writes docs/openapi.json, what /openapi.json answers with default settings: ``make openapi``."""

import json
from pathlib import Path

from app.settings import Settings
from app.web.application import create_app

FILE = Path(__file__).with_name("openapi.json")


def describe() -> str:
    """The description, as the file has it."""
    return json.dumps(create_app(Settings()).openapi(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(describe(), encoding="utf-8")
