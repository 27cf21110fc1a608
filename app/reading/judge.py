"""Makes answers from scores: the confidence, whether the answer is accepted, and the doubts about it."""

from collections.abc import Iterator, Sequence

from app.reading.answer import ModelName, Prediction, ReadingWarning, to_data_url
from app.reading.find.steps import Glyph
from app.reading.infer.classifier import DigitClassifier, Scores
from app.reading.infer.record import ModelMetadata

DECIMALS = 6  # of a probability in the answer; float32 logits are not more precise
REFUSING = {"several-digits", "low-confidence", "unlike-a-digit"}  # an answer with one of these warnings is not accepted


def judge(
    classifier: DigitClassifier, glyphs: Sequence[Glyph], scores: Scores, include_glyph: Sequence[bool]
) -> list[Prediction]:
    """Makes an answer for each glyph from the scores of all of them. include_glyph: whether its answer carries the glyph."""
    record, digits = classifier.record, scores.probabilities.argmax(axis=1).tolist()
    model = ModelName(name=record.name, version=record.version)
    answers = []
    for glyph, digit, exact, probabilities, energy, wanted in zip(  # one numpy call for all glyphs
        glyphs,
        digits,
        scores.probabilities.max(axis=1).tolist(),
        scores.probabilities.round(DECIMALS).tolist(),
        scores.energy.tolist(),
        include_glyph,
        strict=True,
    ):
        findings = [*glyph.warnings, *_doubts(classifier.metadata, exact, energy)]
        answers.append(
            Prediction(
                digit=digit,
                confidence=probabilities[digit],
                probabilities=probabilities,
                accepted=REFUSING.isdisjoint(finding.code for finding in findings),
                warnings=findings,
                box=glyph.box,
                model=model,
                glyph=to_data_url(glyph.pixels) if wanted else None,
            )
        )
    return answers


def tell_frame(frame: int) -> ReadingWarning:
    """The warning that a later frame of an animation was read; frame: its number, from 0."""
    return ReadingWarning("later-frame", frame, f"The file's first frame is blank; frame {frame + 1} was read.")


def _doubts(limits: ModelMetadata, confidence: float, energy: float) -> Iterator[ReadingWarning]:
    if confidence < limits.threshold:
        detail = f"The confidence is {confidence:g}, below the model's threshold of {limits.threshold:g}."
        yield ReadingWarning("low-confidence", round(confidence, DECIMALS), detail)
    if energy < limits.least_energy:
        detail = f"This looks unlike a digit: its score is {energy:g}, below {limits.least_energy:g}."
        yield ReadingWarning("unlike-a-digit", round(energy, DECIMALS), detail)
