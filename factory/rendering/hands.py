"""Hands at the face."""
def hand_parts(model, head, person, view): return []
