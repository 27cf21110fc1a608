// What the service takes and answers. Written by clients/generate.py; do not edit.

/** What all digits may be instead. */
export interface Alternative {
  text: string;
  confidence: number;
}

/** One answer or problem for each picture, in the order in which they were sent. */
export interface BatchResult {
  results: Array<Prediction | Problem>;
}

/** The rectangle around the ink, in pixels. x and y: its upper left corner. */
export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** The service can do its work. */
export interface Health {
  status: string;
  /** Where the model really runs: cpu or cuda. */
  provider?: string | null;
}

/** A line of digits. */
export interface Line {
  /** Its digits, from left to right. */
  text: string;
  /** The calibrated probability that all of its text is right. */
  confidence: number;
  accepted: boolean;
  box: Box;
  /** The indices of its digits. */
  digits: Array<number>;
}

/** A sign among the digits that is not a digit. */
export interface Mark {
  kind: "point" | "comma" | "minus" | "other";
  box: Box;
  /** The line that it stands in, from 0. */
  line: number;
  /** How many digits of its line stand before it. */
  after: number;
}

/** The model that is being served, and where it runs. */
export interface ModelInfo {
  name: string;
  version: string;
  /** Who chose the version: the store's `pointer`, the `setting`, or an `activation` since the start. */
  chosen_by: "pointer" | "setting" | "activation";
  /** Of the classifier's ONNX file. */
  sha256: string;
  /** The sha256 of each ONNX file that /model/file hands out, by its edition. */
  editions: Record<string, string>;
  /** Where it really runs: cpu or cuda. */
  provider: string;
  /** The share of right answers that was measured, by data set, 0 to 1. */
  accuracy: Record<string, number>;
  metadata: ModelMetadata;
}

/** Metadata of the ONNX file: how to feed it and how to read its logits. */
export interface ModelMetadata {
  /** The meaning of each logit, in order. */
  labels: Array<string>;
  /** Mean of Normalize, for pixels in 0..1. */
  mean: number;
  /** Standard deviation of Normalize, for pixels in 0..1. */
  std: number;
  /** Logits are divided by it before the softmax. */
  temperature: number;
  /** Answers below this confidence are not accepted. */
  threshold: number;
  /** Answers with a lower energy score are not accepted: unlike the training digits. */
  least_energy: number;
  /** Order of the input's axes. */
  input_layout: string;
  /** Version of glyph and tensor that the model was trained for. */
  preprocessing: string;
}

/** The model that answered. */
export interface ModelName {
  name: string;
  version: string;
}

/** The digit in a picture. */
export interface Prediction {
  digit: number;
  /** The digit's calibrated probability. */
  confidence: number;
  /** Probabilities of the digits 0 to 9; they sum to 1. */
  probabilities: Array<number>;
  /** False if the model is unsure, the ink is unlike a digit, or there are several digits. */
  accepted: boolean;
  warnings: Array<ReadingWarning>;
  box: Box;
  model: ModelName;
  /** Where the service keeps answers: what to name in a correction of this one. */
  id?: string | null;
  /** With include=glyph: the 28×28 PNG that the model saw, as a data URL. */
  glyph?: string | null;
}

/** Why there is no answer: problem details of RFC 9457, with a stable code and the request's id. */
export interface Problem {
  /** The title is the status's; the code tells more. */
  type?: string;
  title: string;
  status: number;
  detail: string;
  /** Stable name, for programs. */
  code: string;
  /** Also in the header X-Request-ID, and in the service's log. */
  request_id: string;
}

/** One digit of a reading. */
export interface ReadDigit {
  digit: number;
  /** The digit's calibrated probability. */
  confidence: number;
  /** Probabilities of the digits 0 to 9; they sum to 1. */
  probabilities: Array<number>;
  /** False if the model is unsure or the ink is unlike a digit. */
  accepted: boolean;
  warnings: Array<ReadingWarning>;
  box: Box;
  /** The line that it stands in, from 0. */
  line: number;
  /** With include=glyph: the 28×28 PNG that the model saw, as a data URL. */
  glyph?: string | null;
}

/** All digits in a picture. */
export interface Reading {
  /** The digits in reading order, with line breaks. */
  text: string;
  /** The calibrated probability that all of the text is right. */
  confidence: number;
  /** Whether the confidence suffices for the risk that the model states. */
  accepted: boolean;
  /** From top to bottom. */
  lines: Array<Line>;
  /** In reading order: line by line, from left to right. */
  digits: Array<ReadDigit>;
  /** The next likely texts, the likeliest first. */
  alternatives: Array<Alternative>;
  marks: Array<Mark>;
  /** Doubts about the whole. */
  warnings: Array<ReadingWarning>;
  model: ModelName;
  /** Where the service keeps answers: what to name in a correction of this one. */
  id?: string | null;
}

/** One reading or problem for each picture, in the order in which they were sent. */
export interface ReadingBatchResult {
  results: Array<Reading | Problem>;
}

/** A doubt about a glyph: a stable code, the measured value, and a sentence for people. */
export interface ReadingWarning {
  code: string;
  value: number;
  detail: string;
}
