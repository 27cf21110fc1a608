"""A loaded model: what it refuses to serve, and what it computes."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from app.errors import StartupError
from app.reading.infer.classifier import DigitClassifier, Logits, energy, softmax
from app.reading.infer.record import ModelMetadata
from app.reading.infer.store import find_model, versions
from tests.conftest import STUB_METADATA, MakeStore
from tests.versions import seal


def load(store: Path, **options: object) -> DigitClassifier:
    return DigitClassifier.load(find_model(store, "digits", "served"), **{"provider": "auto", "threads": 1, **options})  # type: ignore[arg-type]


def test_a_model_answers_with_its_own_logits(make_store: MakeStore) -> None:
    model = load(make_store(logits=tuple(range(10))))

    logits = model.infer(np.zeros((3, 28, 28), np.uint8)).digits

    np.testing.assert_array_equal(logits, np.tile(np.arange(10, dtype=np.float32), (3, 1)))


def test_temperature_divides_the_logits(make_store: MakeStore) -> None:
    model = load(make_store(STUB_METADATA.model_copy(update={"temperature": 3.0}), logits=(3, *[0] * 9)))

    probabilities = model.predict(np.zeros((1, 28, 28), np.uint8)).probabilities

    assert probabilities[0, 0] == pytest.approx(np.e / (np.e + 9))


@given(hnp.arrays(np.float32, (4, 10), elements=st.floats(-1e4, 1e4, width=32)))
def test_softmax_sums_to_one_and_keeps_the_order(logits: NDArray[np.float32]) -> None:
    probabilities = softmax(logits)

    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities[np.arange(4), logits.argmax(axis=1)] == probabilities.max(axis=1)).all()


@given(hnp.arrays(np.float32, (4, 11), elements=st.floats(-50, 50, width=32)))
def test_energy_is_the_log_odds_of_a_digit_against_none(logits: NDArray[np.float32]) -> None:
    digits, none = logits[:, :10], logits[:, 10]

    shares = softmax(logits)

    odds = np.log(shares[:, :10].sum(axis=1)) - np.log(shares[:, 10])
    np.testing.assert_allclose(energy(Logits(digits, none)), odds, rtol=1e-4, atol=1e-4)


def test_no_digit_lowers_the_energy_and_leaves_the_probabilities_a_distribution(make_store: MakeStore) -> None:
    scores = load(make_store(no_digit=20)).predict(np.zeros((1, 28, 28), np.uint8))

    assert scores.probabilities.sum() == pytest.approx(1)
    assert scores.energy[0] == pytest.approx(9 - 20, abs=0.01)


def test_auto_falls_back_to_the_cpu_and_says_so(make_store: MakeStore) -> None:
    assert load(make_store()).provider == "cpu"


def test_the_provider_cuda_is_refused_if_cuda_is_not_available(make_store: MakeStore) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(StartupError, match="CUDA is required but not available: this onnxruntime is built for the CPU"):
        load(make_store(), provider="cuda")


def test_a_model_for_another_preprocessing_is_refused_by_name(make_store: MakeStore) -> None:
    with pytest.raises(StartupError, match="digits/1 was made for preprocessing '7'; this service uses '1'"):
        load(make_store(STUB_METADATA.model_copy(update={"preprocessing": "7"})))


def test_a_model_that_misses_its_golden_vectors_is_refused(make_store: MakeStore) -> None:
    with pytest.raises(StartupError, match=r"digits/1 on cpu: logits differ by 0\.1 from its golden vectors"):
        load(make_store(golden=0.1))


def test_a_model_whose_file_was_swapped_is_refused(make_store: MakeStore) -> None:
    store = make_store()
    (store / "digits/1/model.onnx").write_bytes(b"another")

    with pytest.raises(StartupError, match="is not the file that was published"):
        load(store)


def test_a_model_whose_golden_vectors_are_gone_is_refused(make_store: MakeStore) -> None:
    store = make_store()
    (store / "digits/1/golden.npz").unlink()

    with pytest.raises(StartupError, match=r"digits/1: golden\.npz cannot be read"):
        load(store)


def test_a_file_that_is_not_onnx_is_refused(make_store: MakeStore) -> None:
    store = make_store()
    (store / "digits/1/model.onnx").write_bytes(b"no ONNX")
    seal(store / "digits/1")

    with pytest.raises(StartupError, match="digits/1: onnxruntime cannot open it"):
        load(store)


@pytest.mark.parametrize(
    "change",
    [{"labels": list("9876543210")}, {"labels": list("012")}, {"input_layout": "NHWC"}],
    ids=["order", "number", "layout"],
)
def test_other_labels_or_another_layout_are_refused_by_name(make_store: MakeStore, change: dict[str, object]) -> None:
    with pytest.raises(StartupError, match="digits/1 has the labels"):
        load(make_store(STUB_METADATA.model_copy(update=change)))


GOLDEN: dict[str, tuple[dict[str, NDArray[Any]], str]] = {
    "without logits": ({"glyphs": np.zeros((2, 28, 28), np.uint8)}, "does not contain golden vectors"),
    "empty": (
        {"glyphs": np.zeros((0, 28, 28), np.uint8), "logits": np.zeros((0, 10)), "no_digit": np.zeros((0, 1))},
        "does not contain golden vectors: the (glyphs|logits) are",
    ),
    "of another size": (
        {"glyphs": np.zeros((2, 20, 20), np.uint8), "logits": np.zeros((2, 10)), "no_digit": np.zeros((2, 1))},
        "does not contain golden vectors: the (glyphs|logits) are",
    ),
    "of two lengths": (
        {"glyphs": np.zeros((2, 28, 28), np.uint8), "logits": np.zeros((3, 10)), "no_digit": np.zeros((2, 1))},
        "does not contain golden vectors: the (glyphs|logits) are",
    ),
}


@pytest.mark.parametrize(("arrays", "message"), GOLDEN.values(), ids=GOLDEN.keys())
def test_malformed_golden_vectors_are_refused_by_name(
    make_store: MakeStore, arrays: dict[str, NDArray[Any]], message: str
) -> None:
    store = make_store()
    np.savez(store / "digits/1/golden.npz", **arrays)  # type: ignore[arg-type]
    seal(store / "digits/1")

    with pytest.raises(StartupError, match=f"digits/1.*{message}"):
        load(store)


def test_an_invalid_record_is_refused(make_store: MakeStore) -> None:
    store = make_store()
    (store / "digits/1/model.json").write_text("{}")

    with pytest.raises(StartupError, match=r"digits/1: .*model\.json cannot be read"):
        load(store)


def test_versions_are_folders_with_a_number_oldest_first(make_store: MakeStore) -> None:
    store = make_store()
    for name in ("2", "10", "notes", ".11.partial"):
        (store / "digits" / name).mkdir()

    assert versions(store, "digits") == ["1", "2", "10"]
    with pytest.raises(StartupError, match=r"digits/3 is not in .*It has the versions 1, 2, 10"):
        find_model(store, "digits", "3")


def test_an_empty_store_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="It has no version of this model"):
        find_model(tmp_path, "digits", "served")


def test_metadata_survives_the_onnx_file() -> None:
    assert ModelMetadata.from_properties(STUB_METADATA.to_properties()) == STUB_METADATA
