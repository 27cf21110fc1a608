"""Client for Numeral, the service that reads handwritten digits."""

from numeral_client.calls import Picture, ProblemError
from numeral_client.client import AsyncClient, Client
from numeral_client.types import Box, Health, ModelInfo, Prediction, Problem, ReadingWarning

__all__ = [
    "AsyncClient",
    "Box",
    "Client",
    "Health",
    "ModelInfo",
    "Picture",
    "Prediction",
    "Problem",
    "ProblemError",
    "ReadingWarning",
]
