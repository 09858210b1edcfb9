"""Bytes and names on a disk; knows no record."""
