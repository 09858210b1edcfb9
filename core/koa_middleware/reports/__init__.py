"""What is told of choices: lock files, provenance, what was made of a calibration, what there is over time."""
