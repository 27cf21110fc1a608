"""OpenCV as it is fastest here: every thread that finds digits sets it so, once."""

import cv2


def tune() -> None:
    """One thread a picture, in the whole process; in this thread without IPP, which takes longer for small pictures."""
    cv2.setNumThreads(1)
    cv2.ipp.setUseIPP(False)
