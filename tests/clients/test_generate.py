"""The clients' types are those of the service."""

import pytest

from clients.generate import AS_PYTHON, AS_TYPESCRIPT, CLIENTS, Schema, generate, to_type


@pytest.mark.parametrize("path", generate(), ids=lambda path: str(path.relative_to(CLIENTS)))
def test_the_generated_types_are_not_stale(path: object) -> None:
    texts = {str(each): text for each, text in generate().items()}

    with open(str(path), encoding="utf-8") as file:  # noqa: PTH123  an id needs an object
        assert file.read() == texts[str(path)], "run `python -m clients.generate`"


@pytest.mark.parametrize(
    ("schema", "python", "typescript"),
    [
        ({"type": "integer"}, "int", "number"),
        ({"$ref": "#/components/schemas/Box"}, "Box", "Box"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "str | None", "string | null"),
        ({"type": "array", "items": {"anyOf": [{"type": "number"}, {"type": "null"}]}}, "list[float | None]", "Array<number | null>"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "dict[str, float]", "Record<string, number>"),
        ({"enum": ["point", "comma"], "type": "string"}, 'Literal["point", "comma"]', '"point" | "comma"'),
        ({"title": "Anything"}, "Any", "unknown"),
    ],
    ids=["plain", "reference", "null", "array of a union", "mapping", "choice", "anything"],
)  # fmt: skip
def test_each_form_of_a_schema_has_its_type(schema: Schema, python: str, typescript: str) -> None:
    assert (to_type(schema, AS_PYTHON), to_type(schema, AS_TYPESCRIPT)) == (python, typescript)


def test_an_unknown_form_stops_the_generator() -> None:
    with pytest.raises(ValueError, match="does not know the form"):
        to_type({"not": {"type": "string"}}, AS_PYTHON)
