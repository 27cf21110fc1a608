"""Every knob of the service. Each field can be set as NUMERAL_<NAME> in the environment."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MIB = 2**20

Provider = Literal["auto", "cpu", "cuda"]


def _available_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Settings(BaseSettings):
    """What an operator may set; the defaults serve on a laptop."""

    model_config = SettingsConfigDict(env_prefix="NUMERAL_", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for every interface.")
    port: int = Field(8000, ge=0, le=65535, description="TCP port to listen on; 0 takes a free one.")
    model_store: Path = Field(
        Path(__file__).resolve().parent.parent / "model_store",
        description="Folder of models, each as NAME/VERSION/model.onnx; by default the one beside the code.",
    )
    model_name: str = Field("digits", description="Name of the model to serve: a folder of the model store.")
    model_version: str = Field("latest", description="Version to serve: a folder's number, or `latest`.")
    provider: Provider = Field(
        "auto",
        description="Where to infer: `cuda` refuses to start without CUDA, `auto` takes CUDA where it works, else the CPU.",
    )
    intra_op_threads: int = Field(
        1, ge=1, description="Threads of onnxruntime within one inference; more than 1 costs more CPU."
    )
    worker_threads: int = Field(
        default_factory=_available_cpus,
        ge=1,
        description="Pictures that are worked on at the same time; by default the number of CPUs.",
    )
    max_upload_bytes: int = Field(20 * MIB, ge=1, description="Largest picture, in bytes.")
    max_pixels: int = Field(50_000_000, ge=1, description="Largest picture, in pixels, judged before decoding.")
    max_jpeg_pixels: int = Field(
        200_000_000, ge=1, description="The same for baseline JPEG, which is decoded at a fraction of its size."
    )
    max_batch_files: int = Field(64, ge=1, description="Most pictures in one batch.")
    max_batch_bytes: int = Field(64 * MIB, ge=1, description="Largest batch, in bytes.")
    cors_origins: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="Origins whose web pages may call the service, separated by commas; none by default.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severity that is logged.")

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_commas(cls, value: Any) -> Any:
        return [origin.strip() for origin in value.split(",") if origin.strip()] if isinstance(value, str) else value
