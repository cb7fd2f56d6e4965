"""Predictions of the time model beside published measurements of the same work."""
