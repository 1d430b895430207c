"""Faces that exist, edited: regions and occluders, and networks that redraw a region."""
