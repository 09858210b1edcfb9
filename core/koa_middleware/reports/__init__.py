"""Reports on choices: lock files, provenance, what was made from a calibration, what there is over time."""
