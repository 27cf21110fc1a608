"""The batch: pictures go through it with a list of glyphs each, of which one is only the usual case."""

from app.reading.batch import PictureOutcome, PictureRequest, most_prominent
from app.reading.decode.picture import to_picture
from app.reading.find.glyph import Glyph, find_glyph
from app.reading.reader import Reader
from app.telemetry.metrics import Metrics
from benchmarks.pictures import canvas


def glyph(digit: int) -> Glyph:
    return find_glyph(to_picture(canvas(digit)))


def test_a_picture_may_bring_several_glyphs_and_gets_an_answer_for_each(reader: Reader) -> None:
    requests = [PictureRequest(bytes), PictureRequest(bytes), PictureRequest(bytes, include_glyph=True)]
    found = {0: (glyph(7), glyph(3), glyph(7)), 2: (glyph(5), glyph(1))}

    # Finding gives one glyph a picture so far; what comes after it must not care.
    answers = reader._engine._predict(found, requests)  # noqa: SLF001

    assert {place: [each.digit for each in digits] for place, digits in answers.items()} == {0: [7, 3, 7], 2: [5, 1]}
    assert [each.glyph is not None for digits in answers.values() for each in digits] == [False] * 3 + [True] * 2
    assert answers[0][0] == answers[0][2]
    assert most_prominent(answers[0]) == answers[0][0]


def test_each_digit_of_a_picture_is_counted(reader: Reader) -> None:
    metrics, glyphs = Metrics(), (glyph(7), glyph(3), glyph(7))
    answers = reader._engine._predict({0: glyphs}, [PictureRequest(bytes)])  # noqa: SLF001  as above

    metrics.serve(reader.classifier)
    metrics.count_outcomes([PictureOutcome(answers[0], {"find": 0.1}, measured=tuple(each.measurements for each in glyphs))])

    text = metrics.expose("")[0].decode()
    assert 'numeral_predictions_total{digit="7"} 2.0' in text
    assert 'numeral_predictions_total{digit="3"} 1.0' in text
    assert "numeral_batch_size_count 1.0" in text
