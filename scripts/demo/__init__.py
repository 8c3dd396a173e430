"""Data, training and calibration of the demo weights, and sample media to try the platform with."""
