"""The settings of the service. Each field can be set as NUMERAL_<NAME> in the environment."""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from ipaddress import ip_address, ip_network
from math import ceil
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from limits import parse_many
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.reading.infer.store import MODEL_STORE, SERVED
from app.reading.onnx_session import CudaPrecision, Provider

logger = logging.getLogger(__name__)

PREFIX = "NUMERAL_"  # of the variables that set them
MIB = 2**20

MOST_DECODERS = 4  # unless the operator says otherwise: at the limit, each takes decoder_bytes

LogFormat = Literal["auto", "json", "console"]
Keep = Literal["off", "glyphs", "pictures"]


CGROUP = Path("/sys/fs/cgroup")


def available_cpus(cgroup: Path = CGROUP) -> int:
    """CPUs that this process may use, by its affinity and by the quota of its container, rounded up."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup)
    return max(1, min(cpus, ceil(quota))) if quota else cpus


def _quota(cgroup: Path) -> float | None:
    """CPUs that a control group of version 2 or 1 allows: CPU time over wall time; None if it sets no limit."""
    try:
        if (cgroup / "cpu.max").is_file():
            quota, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota, period = (
                (cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text(encoding="ascii").strip() for name in ("quota", "period")
            )
        return float(quota) / float(period) if float(quota) > 0 else None
    except (OSError, ValueError):  # no such files, or the word max
        return None


ORIGIN = re.compile(
    r"([a-z][a-z0-9+.-]*)://(?:\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:[0-9]{1,5})?"
)  # as browsers send it (RFC 6454, 6.2)
DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def _fault_of_origin(origin: str) -> str | None:
    """Why no browser would send this as the origin of a page, and what to write instead; None if one would."""
    if origin in ("*", "null"):  # any page; pages in files and in frames that are locked in
        return None
    scheme, separator, place = origin.partition("://")
    host = re.split("[/?#]", place)[0]
    in_list = origin.startswith("[") or (origin.endswith("]") and "[" not in origin) or not set("\"'").isdisjoint(origin)
    parts = ORIGIN.fullmatch(origin)
    port = parts[2] if parts and parts[2] and parts[2] == DEFAULT_PORTS.get(parts[1]) else None
    faults = (
        (in_list, "has brackets or quotes: write the origins alone, separated by commas"),
        ("*" in origin, "has a wildcard: name each origin, or * alone for all"),
        (not separator, f"has no scheme: write https://{origin}"),
        (host != place, f"has a slash or a path behind the host: write {scheme}://{host}"),
        (not origin.isascii(), "has letters beyond ASCII: write the host as browsers send it, with xn--"),
        (origin != origin.lower(), f"has capitals, browsers send small letters: write {origin.lower()}"),
        (not parts, "is not an origin: write scheme, host and, if there is one, port, such as https://draw.example:8443"),
        (port, f"has the port that browsers leave out: write {origin.removesuffix(port or '')}"),
    )
    return next((told for is_wrong, told in faults if is_wrong), None)


class Settings(BaseSettings):
    """What an operator may set; the defaults serve on a laptop."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, allow_inf_nan=False)

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for every interface.")
    port: int = Field(8000, ge=0, le=65535, description="TCP port to listen on; 0 takes a free one.")
    model_store: Path = Field(
        MODEL_STORE,
        description="Folder of models, each as NAME/VERSION/model.onnx; by default the one next to the code.",
    )
    model_name: str = Field("digits", description="Name of the model to serve: a folder of the model store.")
    model_version: str = Field(
        SERVED,
        pattern=rf"^([0-9]{{1,9}}|{SERVED})$",
        description="Version to serve: a folder's number, or `served`, the one that the store's pointer names.",
    )
    provider: Provider = Field(
        "auto",
        description="Where to infer: `cuda` refuses to start without CUDA; `auto` uses CUDA if it works, otherwise the CPU.",
    )
    cuda_precision: CudaPrecision = Field(
        "float32",
        description="How CUDA computes: exactly (`float32`), with factors rounded to 10 bits (`tf32`), "
        "or in half precision (`float16`).",
    )
    cuda_batch_sizes: Annotated[list[Annotated[int, Field(ge=1)]], NoDecode] = Field(
        [1, 4, 8, 16],
        description="Sizes that batches are padded to on CUDA, separated by commas, each tried before the first request; "
        "leave empty to allow any size.",
    )
    intra_op_threads: int = Field(
        1, ge=1, description="Threads of onnxruntime within one inference; more than 1 costs more CPU."
    )
    workers: int = Field(
        1, ge=0, description="Processes that serve, each with its own copy of the model; 0 starts one for each CPU."
    )
    worker_threads: int | None = Field(
        None, ge=1, description="Pictures that a process works on at the same time; by default, its share of the CPUs."
    )
    batch_size: int = Field(16, ge=1, description="Most pictures inferred together.")
    batch_window_ms: float = Field(
        0,
        ge=0,
        description="How long to wait for a batch to fill, in milliseconds; 0 takes only what is already waiting. "
        "Useful on GPUs.",
    )
    max_waiting: int = Field(
        256, ge=1, description="Most requests being received, waiting or worked on; further ones get 503 overloaded."
    )
    max_waiting_bytes: int = Field(256 * MIB, ge=1, description="Largest total size of the bodies of those requests, in bytes.")
    deadline_seconds: float = Field(
        10, gt=0, description="Time for an answer once the picture is here, in seconds; after that, 504."
    )
    min_bytes_per_second: int = Field(
        8192,
        ge=1,
        description="Lowest rate at which a body may arrive after its first two seconds, in bytes a second; below it, 408. "
        "A body that came faster may stand still for five.",
    )
    keep_alive_seconds: int = Field(
        75, ge=1, description="Longest time that a connection may be idle between two requests, in seconds."
    )
    stall_seconds: float = Field(
        5, gt=0, description="Longest time that a request's headers may take, or its response may lie unread, in seconds."
    )
    drain_seconds: float = Field(
        2, ge=0, description="How long the service keeps serving after SIGTERM while /health/ready returns 503, in seconds."
    )
    max_upload_bytes: int = Field(20 * MIB, ge=1, description="Largest picture, in bytes.")
    max_pixels: int = Field(
        50_000_000,
        ge=1,
        description="Largest picture, in pixels; checked before decoding. A JPEG, which is decoded at a fraction of its size, "
        "may have four times as many.",
    )
    decoder_processes: int | None = Field(
        None,
        ge=1,
        description="Processes that decode pictures for each process that serves, and threads that wait for them or read whole "
        "numbers; by default its share of the CPUs, decoders from 2 to 4.",
    )
    decoder_bytes: int = Field(
        256 * MIB, ge=16 * MIB, description="Most memory that decoding one picture may take, in bytes; then 422."
    )
    decoder_seconds: float = Field(
        4, gt=0, description="Longest time that decoding one picture may take, in seconds; then 422."
    )
    max_batch_files: int = Field(64, ge=1, description="Most pictures in one batch, and rows in one tensor.")
    max_digits: int = Field(200, ge=1, le=1000, description="Most digits that /read answers for one picture.")
    max_batch_bytes: int = Field(64 * MIB, ge=1, description="Largest batch, in bytes.")
    cors_origins: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="Origins whose web pages may call the service, separated by commas; `*` for every one; none by default.",
    )
    cors_credentials: bool = Field(default=False, description="Lets those pages send cookies; not allowed with the origin `*`.")
    cors_private_network: bool = Field(
        default=False,
        description="Lets public pages among those origins call the service in a private network or on this machine, where a "
        "browser asks (Private Network Access).",
    )
    api_keys: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="API keys that may call the service, each as NAME:ROLE:SHA256, separated by commas; "
        "`numeral key` makes them.",
    )
    api_keys_file: Path | None = Field(None, description="File with more API keys, one per line; # begins a comment.")
    rate_limit: str | None = Field(
        None, description="Requests that one client may send, such as `60/minute`; unlimited by default."
    )
    trusted_proxies: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="Addresses or networks of proxies whose X-Forwarded-For is trusted, separated by commas.",
    )
    switch_seconds: float = Field(
        30, gt=0, description="Time for all workers to load and check another version of the model, in seconds."
    )
    runtime_dir: Path | None = Field(
        None, description="Folder on a local disk that the workers share; `numeral serve` makes one for several workers."
    )
    keep: Keep = Field(
        "off",
        description="What is kept of people's pictures, so that they can correct answers: `off`, nothing; `glyphs`, the digits "
        "as the model saw them; `pictures`, those and the pictures, encoded anew. Needs `DATA_DIR` or `DATABASE_URL`.",
    )
    data_dir: Path | None = Field(
        None, description="Folder that lasts, for the database of what is kept; not the runtime folder. Training uses it too."
    )
    database_url: str | None = Field(
        None,
        description="PostgreSQL database of what is kept, for several replicas, such as `postgresql+psycopg://user:password@host/"
        "name`; by default a SQLite file in `DATA_DIR`.",
        repr=False,
    )
    keep_days: float = Field(30, gt=0, description="How long answers are kept, in days.")
    keep_megabytes: int = Field(
        1024, ge=1, description="Most that kept glyphs and pictures may take, in megabytes of 2^20 bytes; the oldest go first."
    )
    keep_which: Literal["all", "doubtful"] = Field(
        "all", description="Which answers are kept: `all`, or the `doubtful` ones, which were not accepted or have a warning."
    )
    keep_share: float = Field(1, gt=0, le=1, description="Share of those answers that is kept, chosen at random, from 0 to 1.")
    correction_limit: str = Field(
        "60/minute", description="Corrections that one client may send or delete, such as `60/minute`."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest severity that is logged.")
    log_format: LogFormat = Field(
        "auto",
        description="Format of the log lines: `json`, `console`, or `auto`, which is console on a terminal and JSON otherwise.",
    )

    @property
    def threads(self) -> int:
        """Worker threads of a process."""
        return self.worker_threads or max(1, available_cpus() // self.workers)

    @property
    def decoders(self) -> int:
        """Decoder processes of a process; two at least, so that one picture that takes long does not hold up the others."""
        return self.decoder_processes or min(MOST_DECODERS, self.patient_threads)

    @property
    def patient_threads(self) -> int:
        """Threads for pictures that wait for a decoder, or whose digits are all read."""
        return self.decoder_processes or max(2, self.threads)

    @property
    def loopback_only(self) -> bool:
        """Whether the service listens on the loopback interface only."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @field_validator("cors_origins", "api_keys", "cuda_batch_sizes", "trusted_proxies", mode="before")
    @classmethod
    def _split_commas(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator(
        "worker_threads", "decoder_processes", "rate_limit", "runtime_dir", "data_dir", "database_url", mode="before"
    )
    @classmethod
    def _take_empty_for_unset(cls, value: Any) -> Any:
        return None if isinstance(value, str) and not value.strip() else value

    @field_validator("log_level", "log_format", "provider", "cuda_precision", mode="before")
    @classmethod
    def _ignore_case(cls, value: Any) -> Any:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("workers")
    @classmethod
    def _count_cpus(cls, value: int) -> int:
        return value or available_cpus()

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, value: list[str]) -> list[str]:
        if wrong := [f"{origin} {fault}" for origin in value if (fault := _fault_of_origin(origin))]:
            raise ValueError("; ".join(wrong))
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _check_networks(cls, value: list[str]) -> list[str]:
        for network in value:
            ip_network(network)
        return value

    @field_validator("rate_limit", "correction_limit")
    @classmethod
    def _check_rate(cls, value: str | None) -> str | None:
        if value is not None:
            limits = parse_many(value)
            if len(limits) != 1:
                raise ValueError(f"one limit is expected, such as 60/minute; here are {len(limits)}.")
            if limits[0].amount < 1:
                raise ValueError("it would refuse every request; leave it empty for no limit.")
        return value

    @model_validator(mode="after")
    def _allow_pages_that_are_named(self) -> Self:
        if self.cors_credentials and "*" in self.cors_origins:
            raise ValueError("cors_credentials cannot be combined with the origin *; list the origins that may send them.")
        if (self.cors_credentials or self.cors_private_network) and not self.cors_origins:
            raise ValueError("cors_credentials and cors_private_network are for the pages of cors_origins, which is empty.")
        return self

    @model_validator(mode="after")
    def _answer_before_the_deadline(self) -> Self:
        if self.batch_window_ms >= 1000 * self.deadline_seconds:
            told = f"batch_window_ms is {self.batch_window_ms:g}, and deadline_seconds {self.deadline_seconds:g}"
            raise ValueError(f"{told}: who waits for a batch to fill would never be answered in time. Choose a shorter window.")
        return self

    @model_validator(mode="after")
    def _keep_where_it_lasts(self) -> Self:
        if self.keep == "off":
            return self
        if not self.data_dir and not self.database_url:
            raise ValueError(f"NUMERAL_KEEP={self.keep} needs NUMERAL_DATA_DIR, a folder that lasts, or NUMERAL_DATABASE_URL.")
        if self.data_dir and self.runtime_dir and self.data_dir.resolve().is_relative_to(self.runtime_dir.resolve()):
            raise ValueError("NUMERAL_DATA_DIR is in the runtime folder, which does not last; name another folder.")
        return self


VARIABLES = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {f"{PREFIX}KEY"}


def describe_faults(error: ValidationError) -> list[str]:
    """What is wrong with the settings, a line for each fault; values are not shown, as they may be secrets."""
    lines = []
    for problem in error.errors():
        name = ".".join(map(str, problem["loc"]))  # empty where several settings do not fit together
        told = problem["msg"].removeprefix("Value error, ")
        lines.append(f"setting {name}: {told}" if name else told)
    return lines


def warn_of_unknown_variables(environment: Mapping[str, str]) -> None:
    """Warns of each NUMERAL_ variable that sets nothing, in the log."""
    for line in describe_unknown_variables(environment):
        logger.warning("%s", line)


def describe_unknown_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """A line for each NUMERAL_ variable that sets nothing; it names the one that may be meant."""
    for name in unknown_variables(environment):
        rest = name.upper().removeprefix(PREFIX)
        meant = get_close_matches(rest, sorted(known.removeprefix(PREFIX) for known in VARIABLES), 1)
        yield f"{name} sets nothing" + (f"; did you mean {PREFIX}{meant[0]}?" if meant else ".")


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """The names with our prefix that nothing here reads, in order."""
    return sorted(name for name in environment if name.upper().startswith(PREFIX) and name.upper() not in VARIABLES)
