"""What the user of training/ can put right; the command line prints the message and stops with status 1."""


class TrainingError(Exception):
    """Base of all errors that come with a remedy in their message."""


class DataError(TrainingError):
    """The data set is missing, incomplete or damaged."""


class RunError(TrainingError):
    """A run's folder cannot be used as asked: already taken, nothing to resume, another configuration."""


class ExportError(TrainingError):
    """The exported ONNX file does not compute what the checkpoint computes."""
