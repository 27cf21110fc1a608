"""Writes what the reference says of the code: the tables of docs/http.md and all of docs/cli.md: ``make reference``."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import typer
from typer.cli import get_docs_for_click

from app import errors
from app.cli.app import cli
from app.errors import RequestError
from app.settings import Settings
from app.web.application import create_app
from app.web.endpoints import TABLE
from app.web.openapi import EXAMPLES, summary_of

HTTP = Path(__file__).with_name("http.md")
CLI = Path(__file__).with_name("cli.md")
PROBLEM = "application/problem+json"
MOST_NAMED = 8  # calls that an error's section lists; what more of them answer, any may
KEPT = ", where [answers are kept](corrections.md)"  # behind what a call does that is not served otherwise
WHO = {"open": "anybody", "key": "any key", "admin": "a key of the role `admin`"}  # where there are keys

REMEDIES: Mapping[type[RequestError], str] = {
    errors.InvalidBase64: (
        "Encode the bytes of the whole image file, bare or as the data URL that `canvas.toDataURL()` returns. If you have "
        "a file, send it to `/predict` as it is."
    ),
    errors.InvalidTensor: (
        "`GET /v2/models/digits` lists names, types and shapes of the tensors. Send these, at most "
        "`NUMERAL_MAX_BATCH_FILES` rows at a time."
    ),
    errors.Unauthorized: (
        "Send the key in the header `X-API-Key`, or as `Authorization: Bearer`. A new key works once the service has read "
        "it: [restart it, or send SIGHUP](access.md#keys)."
    ),
    errors.Forbidden: (
        "Use a key of the role `admin`. Without keys, call `/admin/…` from the machine itself, directly and as "
        "`127.0.0.1`, while the service listens on loopback alone."
    ),
    errors.NotFound: (
        "Compare the path with [the calls](#calls). A proxy may have added or removed a prefix. Of a correction: the "
        "answer was never kept, is no longer kept, or belongs to another key."
    ),
    errors.MethodNotAllowed: "Use the method that the header `Allow` names. Pictures are sent by POST.",
    errors.RequestTimeout: (
        "Send the body without pauses. On a slow network, reduce photos to some 2,048 pixels first. A proxy that receives "
        "the whole body before it passes it on helps ([deployment](deployment.md#behind-other-proxies))."
    ),
    errors.ModelRejected: (
        "Nothing has changed: the version before still answers. `detail` has the reason. If files are damaged, copy the "
        "version into the store anew ([models](models.md))."
    ),
    errors.SwitchInProgress: "Wait as many seconds as `Retry-After` says and send the request again.",
    errors.UploadTooLarge: (
        "Reduce the picture: the service itself reads 1,024 pixels at most. Split a batch. Or raise "
        "`NUMERAL_MAX_UPLOAD_BYTES` or `NUMERAL_MAX_BATCH_BYTES`, and the proxy's limit with it."
    ),
    errors.ImageTooLarge: (
        "Reduce the picture, or send a JPEG, which may have four times as many pixels. `NUMERAL_MAX_PIXELS` is the limit."
    ),
    errors.UnsupportedImage: (
        "Send PNG, JPEG, WebP, AVIF, BMP, GIF or TIFF. HEIC needs the extra `heif`. Check that the body is the file "
        "itself, not its path, a web page or base64."
    ),
    errors.UnsupportedEncoding: (
        "Send the body uncompressed, without the header `Content-Encoding`. Picture files are compressed already."
    ),
    errors.UnreadableImage: "Send the whole file. If a viewer opens it, save it again from there.",
    errors.DecodingOutOfMemory: "Reduce the picture, or send a JPEG. `NUMERAL_DECODER_BYTES` is the limit.",
    errors.DecodingTimedOut: (
        "Save the picture again in a simpler form, such as JPEG, or reduce it. On a busy machine a good picture may take "
        "too long as well: send it again later, or raise `NUMERAL_DECODER_SECONDS`."
    ),
    errors.DecoderCrashed: (
        "Save the picture again, or in another format. If a good picture does this, report it: it is a fault of the decoder."
    ),
    errors.NoDigitFound: (
        "Check that the picture shows what you think: a canvas may be sent before anything is drawn, or as a JPEG whose "
        "transparent ground became black. Write larger and darker, or crop closer. `numeral explain` shows what was seen."
    ),
    errors.InvalidRequest: (
        "`detail` names the field and what came instead. Send a picture as the field `file`, as `files` in a batch, or as "
        "the body itself."
    ),
    errors.RateLimited: (
        "Wait as many seconds as `Retry-After` says. If all clients share one limit, the service does not know their "
        "addresses: name the proxy in `NUMERAL_TRUSTED_PROXIES`. `NUMERAL_RATE_LIMIT` is the limit."
    ),
    errors.InternalError: (
        "Look for `request_id` in the service's log; the traceback stands there. Please report it. Sending the request "
        "again seldom helps."
    ),
    errors.NotReady: "Wait as many seconds as `Retry-After` says. If it lasts, `/health/ready` and the log have the reason.",
    errors.Overloaded: (
        "Wait as many seconds as `Retry-After` says and send the request again, with fewer at a time. As the operator, "
        "add [processes](settings.md) (`NUMERAL_WORKERS`), CPUs or [replicas](deployment.md)."
    ),
    errors.ShuttingDown: "Send the request again; a proxy sends it to another instance.",
    errors.DeadlineExceeded: (
        "Try again later, with a smaller picture or fewer in a batch. As the operator, look at the "
        "[stages](operations.md#metrics) and add CPUs. `NUMERAL_DEADLINE_SECONDS` is the limit."
    ),
}  # what to do about each error


def describe_http(text: str) -> str:
    """docs/http.md with the tables between its marks made anew."""
    settings = Settings(keep="glyphs", data_dir=HTTP.parent)  # all calls are described; nothing is opened or written
    schema = create_app(settings).openapi()
    parts = {"calls": _calls(schema), "codes": _codes(), "errors": _errors(schema)}
    for name, lines in parts.items():
        marked = re.compile(rf"(?<=<!-- {name} -->\n).*(?=<!-- end of {name} -->)", re.DOTALL)
        text = marked.sub(partial(_replace, "\n".join(["", *lines, "", ""])), text)
    return text


def _replace(text: str, _: re.Match[str]) -> str:
    return text


def _operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in sorted(schema["paths"].items(), key=lambda each: _place(each[0])):
        for method, operation in operations.items():
            yield method.upper(), path, operation


def _place(path: str) -> tuple[int, str]:
    """Pictures first, then as the alphabet has it."""
    return (0 if TABLE.find(path).works and not path.startswith("/v2") else 1, path)


def _calls(schema: dict[str, Any]) -> Iterator[str]:
    yield "| call | what | query | who may |"
    yield "|---|---|---|---|"
    for method, path, operation in _operations(schema):
        query = ", ".join(f"`{each['name']}`" for each in operation.get("parameters", ()) if each["in"] == "query")
        what = operation["summary"] + (KEPT if "corrections" in operation["tags"] else "")
        yield f"| `{method} {path}` | {what} | {query} | {WHO[TABLE.find(path).access]} |"


def _in_order() -> Iterable[type[RequestError]]:
    return sorted(EXAMPLES, key=lambda kind: (kind.status, kind.code))


def _codes() -> Iterator[str]:
    yield "| status | code | when |"
    yield "|---|---|---|"
    for kind in _in_order():
        yield f"| {int(kind.status)} | [`{kind.code}`](#{kind.code}) | {summary_of(kind)} |"


def _errors(schema: dict[str, Any]) -> Iterator[str]:
    for kind in _in_order():
        calls = [f"`{method} {path}`" for method, path, operation in _operations(schema) if kind.code in _answered(operation)]
        yield f"### {kind.code}\n\n**{int(kind.status)} {kind.status.phrase}.** {summary_of(kind)}.\n"
        yield f"> {EXAMPLES[kind]}\n"
        yield f"{REMEDIES[kind]}\n"
        if 0 < len(calls) <= MOST_NAMED:
            yield f"Answered by {', '.join(calls)}.\n"


def _answered(operation: dict[str, Any]) -> set[str]:
    """The codes of the problems that an operation may answer."""
    contents = [response.get("content", {}).get(PROBLEM, {}) for response in operation["responses"].values()]
    return {code for content in contents for code in content.get("examples", ())}


def describe_cli() -> str:
    """docs/cli.md, as typer writes it from the commands."""
    command = typer.main.get_command(cli)
    told = get_docs_for_click(obj=command, ctx=typer.Context(command, info_name="numeral"), indent=1, name="numeral")
    for name, sentence in _first_sentences(command).items():
        told = re.sub(rf"^(\* `{name}`: ).*\.\.\.$", rf"\g<1>{sentence}", told, flags=re.MULTILINE)
    return f"{CLI_HEAD}\n{told.strip()}\n"


def _first_sentences(group: Any) -> dict[str, str]:
    """What each command of a group does, by name; typer cuts it short in its lists."""
    here = {name: f"{(each.help or '').partition('.')[0]}." for name, each in group.commands.items()}
    below = [_first_sentences(each) for each in group.commands.values() if hasattr(each, "commands")]
    return here | {name: text for group in below for name, text in group.items()}


CLI_HEAD = """# Command line

`make reference` writes this page from the commands themselves. Settings without a flag come from the
[environment](settings.md). The exit status is 0 for success, 1 if a picture cannot be read or the model cannot be loaded, and 2
for wrong arguments or settings; where a command differs, its text says so.

`python -m training --help` lists the commands that train, export and publish; [the tutorial](tutorial.md) walks through them.
"""


if __name__ == "__main__":
    HTTP.write_text(describe_http(HTTP.read_text(encoding="utf-8")), encoding="utf-8")
    CLI.write_text(describe_cli(), encoding="utf-8")
