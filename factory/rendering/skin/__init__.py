"""Skin, eyes and mouth."""
