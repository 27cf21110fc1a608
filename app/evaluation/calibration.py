"""The calibration error: how far confidence is from accuracy."""

import numpy as np
from numpy.typing import NDArray

BINS = 15  # of confidence, as in Guo et al. 2017, On Calibration of Modern Neural Networks, arXiv:1706.04599


def calibration_error(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    """Expected calibration error, 0..1: the mean distance between confidence and accuracy in BINS bins, weighted by counts.

    confidence, right: (N,), N at least 1.
    Source: Naeini, Cooper, Hauskrecht 2015, Obtaining Well Calibrated Probabilities Using Bayesian Binning (AAAI).
    """
    place = np.minimum((confidence * BINS).astype(np.intp), BINS - 1)
    surplus = np.bincount(place, weights=confidence - right, minlength=BINS)
    return float(np.abs(surplus).sum() / len(confidence))
