"""Writes the clients' types from the service's OpenAPI description: ``python -m clients.generate``.

Only what the clients' calls take and answer is written, as Python's TypedDict and as TypeScript's interface.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.settings import Settings
from app.web.application import create_app

CLIENTS = Path(__file__).parent
PYTHON = CLIENTS / "python" / "src" / "numeral_client" / "types.py"
TYPESCRIPT = CLIENTS / "typescript" / "src" / "types.ts"

CALLED = ("/predict", "/read", "/model", "/health/ready")  # paths, and what is below them
REF = "#/components/schemas/"

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Language:
    """How a language writes types. names: of OpenAPI's plain types; array and mapping: with a gap for the type within."""

    names: Mapping[str, str]
    anything: str
    array: str
    mapping: str
    choice: str


AS_PYTHON = Language(
    {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None", "object": "dict[str, Any]"},
    "Any", "list[{}]", "dict[str, {}]", "Literal[{}]",
)  # fmt: skip
AS_TYPESCRIPT = Language(
    {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null", "object": "object"},
    "unknown", "Array<{}>", "Record<string, {}>", "{}",
)  # fmt: skip


def generate() -> dict[Path, str]:
    """The text of each generated file, by its path."""
    schemas = find_schemas(create_app(Settings()).openapi())
    return {PYTHON: to_python(schemas), TYPESCRIPT: to_typescript(schemas)}


def find_schemas(openapi: Schema) -> dict[str, Schema]:
    """The schemas that the clients' calls refer to, and those that these refer to, by name."""
    every: dict[str, Schema] = openapi["components"]["schemas"]
    called = [item for path, item in openapi["paths"].items() if path.startswith(CALLED) and not path.startswith("/models")]
    found: dict[str, Schema] = {}
    waiting = sorted(set(_references(called)))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = every[name]
            waiting += _references(every[name])
    return dict(sorted(found.items()))


def _references(value: Any) -> Iterator[str]:
    match value:
        case {"$ref": str(reference)}:
            yield reference.removeprefix(REF)
        case dict():
            for each in value.values():
                yield from _references(each)
        case list():
            for each in value:
                yield from _references(each)


def to_python(schemas: Mapping[str, Schema]) -> str:
    """A module of TypedDicts."""
    parts = ['"""What the service takes and answers. Written by clients/generate.py; do not edit."""\n']
    for name, schema in schemas.items():
        lines = [f"\nclass {name}(TypedDict):", f'    """{schema["description"]}"""\n']
        for key, value in schema["properties"].items():
            kind = to_type(value, AS_PYTHON)
            if key not in schema.get("required", ()):
                kind = f"NotRequired[{kind}]"
            lines.append(f"    {key}: {kind}")
            if description := value.get("description"):
                lines.append(f'    """{description}"""')
        parts.append("\n".join(lines) + "\n")
    text = "\n".join(parts)
    used = [name for name in ("Any", "Literal", "NotRequired", "TypedDict") if re.search(rf"\b{name}\b", text)]
    parts.insert(1, f"from __future__ import annotations\n\nfrom typing import {', '.join(used)}\n")
    return "\n".join(parts)


def to_typescript(schemas: Mapping[str, Schema]) -> str:
    """A module of interfaces."""
    parts = ["// What the service takes and answers. Written by clients/generate.py; do not edit.\n"]
    for name, schema in schemas.items():
        lines = [f"/** {schema['description']} */", f"export interface {name} {{"]
        for key, value in schema["properties"].items():
            if description := value.get("description"):
                lines.append(f"  /** {description} */")
            lines.append(f"  {key}{'' if key in schema.get('required', ()) else '?'}: {to_type(value, AS_TYPESCRIPT)};")
        parts.append("\n".join([*lines, "}"]) + "\n")
    return "\n".join(parts)


def to_type(schema: Schema, language: Language) -> str:
    """A schema as a language writes a type.

    Raises:
        ValueError: it has a form that the service's answers have not had so far.
    """
    match schema:
        case {"$ref": str(reference)}:
            written = reference.removeprefix(REF)
        case {"anyOf": list(choices)}:
            written = " | ".join(to_type(choice, language) for choice in choices)
        case {"enum": list(values)}:
            written = language.choice.format((", " if language is AS_PYTHON else " | ").join(map(json.dumps, values)))
        case {"type": "array", "items": dict(items)}:
            written = language.array.format(to_type(items, language))
        case {"type": "object", "additionalProperties": dict(values)}:
            written = language.mapping.format(to_type(values, language))
        case {"type": str(kind)}:
            written = language.names[kind]
        case _ if not schema.keys() - {"title", "description", "default", "examples"}:
            written = language.anything
        case _:
            raise ValueError(f"clients/generate.py does not know the form {schema}; teach it.")
    return written


if __name__ == "__main__":
    for path, text in generate().items():
        path.write_text(text, encoding="utf-8")
