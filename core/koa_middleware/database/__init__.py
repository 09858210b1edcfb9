"""One instrument's rows, on this machine."""
