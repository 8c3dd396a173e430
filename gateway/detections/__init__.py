"""Detections: from an uploaded file to a stored verdict."""
