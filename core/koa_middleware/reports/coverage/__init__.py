"""What there is over time, and when a rule has no answer."""
