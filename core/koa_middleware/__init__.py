"""The calibration store of the Keck Observatory's data reduction pipelines."""
