"""Runs the command line without what another system lacks: ``python -m tests.service.elsewhere win32 predict …``.

The standard library and the packages are those of this system and are imported first; only what the project itself imports
and does is tried. A call into what is missing raises, as it would there.
"""

import asyncio
import concurrent.futures.process
import logging.config
import multiprocessing
import os
import platform
import shutil
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import uuid

import anyio._backends._asyncio
import fastapi_offline
import limits
import numpy as np
import onnxruntime
import opentelemetry.trace
import PIL.Image
import prometheus_client
import pydantic_settings
import rich.progress
import structlog
import typer
import uvicorn.protocols.http.h11_impl

LOADED = (
    asyncio, concurrent.futures.process, logging.config, multiprocessing, platform, shutil, sqlite3, ssl, subprocess, tempfile,
    uuid, anyio, fastapi_offline, limits, np, onnxruntime, opentelemetry.trace, PIL.Image, prometheus_client, pydantic_settings,
    rich.progress, structlog, typer, uvicorn,
)  # fmt: skip
LINUX = ("memfd_create", "sched_getaffinity", "sched_setaffinity", "sched_setscheduler", "pidfd_open", "posix_fadvise")
UNIX = (
    "fork",
    "forkpty",
    "nice",
    "getpriority",
    "setpriority",
    "sched_yield",
    "setsid",
    "killpg",
    "getuid",
    "geteuid",
    "getppid",
)
MISSING = {"darwin": (*LINUX, "fork"), "win32": LINUX + UNIX}  # macOS has fork, which is not safe there
MISSING_MODULES = {"darwin": ("uvloop",), "win32": ("uvloop", "httptools", "fcntl", "resource", "grp", "pwd", "termios")}


def main() -> None:
    """Takes the system's name from the arguments; the rest are the command line's."""
    system = sys.argv[1]
    for name in MISSING[system]:
        if hasattr(os, name):
            delattr(os, name)
    for name in MISSING_MODULES[system]:
        sys.modules[name] = None  # type: ignore[assignment]  # importing it raises ModuleNotFoundError
    sys.platform = system
    if system == "win32":
        asyncio.ProactorEventLoop = asyncio.SelectorEventLoop  # type: ignore[attr-defined]  # which uvicorn asks for there
    from app.cli.app import main as run  # noqa: PLC0415  not before

    run(sys.argv[2:])


if __name__ == "__main__":
    main()
