"""How the service describes the versions in its store."""

from typing import Literal

from pydantic import BaseModel, Field

ChosenBy = Literal["pointer", "setting", "activation"]


class Version(BaseModel):
    """A version of the model in the store, with its measurements at publication."""

    version: str
    active: bool = Field(description="Whether it gives the answers.")
    shadow: bool = Field(description="Whether it answers too, unseen, for comparison.")
    created: str | None = Field(None, description="UTC, ISO 8601.")
    architecture: str | None = None
    parameters: int | None = None
    sha256: str | None = Field(None, description="Checksum of the classifier's ONNX file.")
    accuracy: dict[str, float] = Field(default_factory=dict, description="As in ModelInfo.")
    problem: str | None = Field(None, description="Why it cannot be served, as far as its record tells.")


class ShadowInfo(BaseModel):
    """How often the version that answers unseen agrees with the active one, over all workers, since it started."""

    version: str
    compared: int = Field(description="Pictures that both versions read.")
    agreed: int = Field(description="Of these, the pictures in which both read the same digit.")
    dropped: int = Field(description="Pictures skipped because the shadow could not keep up.")
    failed: int = Field(description="Pictures on which the shadow failed.")


class Models(BaseModel):
    """The versions in the store, and which of them answer; every worker gives the same answer."""

    name: str
    active: str = Field(description="The version that answers.")
    chosen_by: ChosenBy = Field(
        description="Who chose it: the store's `pointer`, the `setting`, or an `activation` since the start."
    )
    served: str | None = Field(description="The version that the store's pointer names; null where it names none.")
    previous: str | None = Field(description="The version that a rollback goes back to.")
    shadow: ShadowInfo | None
    versions: list[Version] = Field(description="Oldest first.")
