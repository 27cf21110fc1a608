"""Tunes OpenCV for this workload; every thread that finds digits calls it once."""

import cv2


def tune() -> None:
    """Limits OpenCV to one thread in the whole process and turns off IPP, which is slower on small pictures, in this thread."""
    cv2.setNumThreads(1)
    cv2.ipp.setUseIPP(False)
