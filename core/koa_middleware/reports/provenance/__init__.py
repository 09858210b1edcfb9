"""Where a product's calibrations come from, and what was made from a calibration."""
