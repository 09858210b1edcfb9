"""What is written down of choices: lock files, and what they are checked against."""
