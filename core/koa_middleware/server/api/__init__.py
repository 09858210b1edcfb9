"""What programs ask: ``/api/v1/<instrument>/...``."""
