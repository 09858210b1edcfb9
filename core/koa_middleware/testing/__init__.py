"""What plugins' authors and this project's own tests share."""
