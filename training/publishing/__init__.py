"""A trained run -> a version in the model store: calibration, export, card."""
