"""The same application behind Ray Serve: each replica is a process with a model of its own. deploy/ray has its settings."""

import os

from ray import serve
from ray.serve import Application

from app.settings import warn_of_unknown_variables
from app.web.application import create_app


class Numeral:
    """A replica; everything it does is in the application that it gets."""


def build(_: dict[str, str]) -> Application:
    """What `serve deploy` and `serve run` deploy; replicas, CPUs, GPUs and the environment come from the config file."""
    warn_of_unknown_variables(os.environ)
    return serve.deployment(name="Numeral")(serve.ingress(create_app)(Numeral)).bind()
