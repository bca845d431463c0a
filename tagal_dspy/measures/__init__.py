"""What is measured of rows while they are written."""
