"""The package of a new instrument's plugin, written from templates and from what a FITS header holds."""
