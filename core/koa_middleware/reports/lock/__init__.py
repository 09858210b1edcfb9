"""Lock files: what was chosen for which frames, given again, and compared with what would be chosen now."""
