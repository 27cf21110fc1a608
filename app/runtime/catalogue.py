"""How the service describes the versions in its store."""

from pydantic import BaseModel, Field


class Version(BaseModel):
    """A version of the model in the store, and what it measured when it was published."""

    version: str
    active: bool = Field(description="It gives the answers.")
    shadow: bool = Field(description="It answers too, unseen, to be compared.")
    created: str | None = Field(None, description="UTC, ISO 8601.")
    architecture: str | None = None
    parameters: int | None = None
    sha256: str | None = Field(None, description="Of the ONNX file, as published.")
    accuracy: dict[str, float] = Field(default_factory=dict, description="As in ModelInfo.")
    problem: str | None = Field(None, description="Why its record cannot be read, where it cannot.")


class ShadowInfo(BaseModel):
    """How often the version that answers unseen agrees with the active one, over all workers, since it began."""

    version: str
    compared: int = Field(description="Glyphs that both have read.")
    agreed: int = Field(description="Of these, those in which both read the same digit.")
    dropped: int = Field(description="Glyphs passed over, since the shadow could not keep up.")
    failed: int = Field(description="Glyphs at which the shadow failed.")


class Models(BaseModel):
    """The versions in the store, and which of them answer: the same whichever worker is asked."""

    name: str
    active: str = Field(description="The version that answers.")
    previous: str | None = Field(description="The version that a rollback goes back to.")
    shadow: ShadowInfo | None
    versions: list[Version] = Field(description="Oldest first.")
