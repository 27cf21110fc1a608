import numpy as np
from fastapi.testclient import TestClient

from app.main import create_app


def test_the_service_starts_and_names_its_model() -> None:
    with TestClient(create_app()) as client:
        assert client.get("/model").json()["name"] == "digits"
    assert np.load("tests/mnist_excerpt.npz")["labels"].shape == (500,)
