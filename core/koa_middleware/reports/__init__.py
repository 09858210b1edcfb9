"""What is told of answers: what there is over time, and when a rule has none."""
