"""What a column is and holds; what may be given as a frame."""
