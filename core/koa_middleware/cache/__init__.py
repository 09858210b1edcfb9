"""What happens to a record's file."""
