"""OpenCV as it is fastest here: every process that finds digits sets it so, once."""

import cv2


def tune() -> None:
    """One thread, since every CPU has a picture of its own; and not Intel's IPP, which takes longer for pictures this small."""
    cv2.setNumThreads(1)
    cv2.ipp.setUseIPP(False)
