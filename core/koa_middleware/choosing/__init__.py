"""Which calibration fits a frame."""
