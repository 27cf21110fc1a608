export { Client, ProblemError, type CallOptions, type ClientOptions, type Point } from "./client.js";
export { fromCanvas, fromFile, fromUri, type Canvas, type NativeFile, type Picture, type ShrinkOptions, type Source } from "./pictures.js";
export type { Box, ReadingWarning, Health, ModelInfo, Prediction, Problem } from "./types.js";
