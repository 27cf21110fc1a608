"""The int8 trial: the quantised model answers nearly as the float one, and both are reported side by side."""

from pathlib import Path

import numpy as np
import pytest

from app.reading.infer.store import find_model
from app.settings import Settings
from benchmarks.cost.int8 import BATCHES, FLOAT, INT8, Form, measure, write_table
from tests.versions import SHIPPED
from training.data.mnist import load_digits


@pytest.mark.filterwarnings("default")  # onnxruntime's tools are not warning-free
@pytest.mark.parametrize("seven_bits", [False, pytest.param(True, marks=pytest.mark.long)])
def test_both_forms_are_measured(mnist_dir: Path, *, seven_bits: bool) -> None:
    settings = Settings()
    model = find_model(settings.model_store, settings.model_name, SHIPPED)
    digits = load_digits(mnist_dir, verify=False, validation_size=100)

    forms = measure(model, digits, turns=2, seven_bits=seven_bits)

    assert forms[INT8].file_bytes < forms[FLOAT].file_bytes
    assert forms[FLOAT].wrong["test"] <= 5
    assert abs(forms[INT8].wrong["test"] - forms[FLOAT].wrong["test"]) <= 5
    assert all(len(form.seconds) == len(BATCHES) + 2 for form in forms.values())


def test_the_table_gives_differences_and_ratios() -> None:
    forms = {
        FLOAT: Form(4096, {"validation": 30, "test": 40}, {"inference": np.array([1e-4, 2e-4])}),
        INT8: Form(2048, {"validation": 33, "test": 40}, {"inference": np.array([5e-5, 1e-4])}),
    }

    table = write_table(forms, {"validation": 6_000, "test": 10_000})

    assert "| validation | 99.50% | 99.45% | -0.050 points |" in table
    assert "| file | 4 KiB | 2 KiB | 0.50 |" in table
    assert "| inference | 150 µs | 75 µs | 0.50 (0.50–0.50) |" in table
