"""Internals of other packages that the service relies on. If an upgrade removes one, a test here fails and names it."""

import asyncio
import inspect
import re

import prometheus_client.values
import pytest
import uvloop
from httptools import HttpRequestParser
from prometheus_client import multiprocess
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState
from uvicorn.supervisors.multiprocess import Multiprocess, Process

METHODS = {
    HttpToolsProtocol: [
        "connection_made", "connection_lost", "data_received", "pause_writing", "resume_writing", "send_400_response",
        "on_message_begin", "on_headers_complete", "on_body", "on_message_complete", "on_response_complete",
        "timeout_keep_alive_handler", "_unset_keepalive_if_required",
    ],
    Multiprocess: ["keep_subprocess_alive", "handle_signals", "run"],
    Process: ["start", "kill", "join"],
    HttpRequestParser: ["get_method", "get_http_version", "should_keep_alive", "should_upgrade"],
}  # fmt: skip
SET_IN = {  # attributes, by the class or function that sets them
    HttpToolsProtocol: [
        "app_state", "cycle", "flow", "parser", "pipeline", "server_state", "timeout_keep_alive", "transport", "url", "headers",
        "expect_100_continue", "loop",
    ],
    FlowControl: ["write_paused"],
    ServerState: ["default_headers"],
    RequestResponseCycle: ["response_complete", "message_event"],
    Multiprocess: ["config", "sockets", "processes", "should_exit"],
    Process: ["parent_conn", "process"],
}  # fmt: skip


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner, names in METHODS.items() for name in names])
def test_there_is_the_method_that_ours_extends_or_calls(owner: type, name: str) -> None:
    assert callable(getattr(owner, name))


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner, names in SET_IN.items() for name in names])
def test_there_is_the_attribute_that_ours_reads(owner: type, name: str) -> None:
    assert re.search(rf"^\s+(self\.)?{name}(:|,|\s=)", inspect.getsource(owner), re.MULTILINE)


def test_the_status_lines_are_made_in_advance() -> None:
    assert httptools_impl.STATUS_LINE[503].startswith(b"HTTP/1.1 503 ")


def test_a_loop_exposes_its_selector() -> None:
    plain, fast = asyncio.SelectorEventLoop(), uvloop.new_event_loop()
    try:
        assert plain._selector.fileno() > 0  # type: ignore[attr-defined]  # noqa: SLF001  a worker looks whether something waits for the loop
        assert fast._get_backend_id() > 0  # type: ignore[attr-defined]  # noqa: SLF001  as above
    finally:
        plain.close()
        fast.close()


def test_the_series_of_several_workers_can_be_kept_under_a_number_of_ours() -> None:
    values = prometheus_client.values

    assert "process_identifier" in inspect.signature(values.MultiProcessValue).parameters
    assert hasattr(values, "ValueClass")
    assert hasattr(values, "MutexValue")
    assert callable(multiprocess.mark_process_dead)
