"""Comparisons over several releases and trainings: published claims, utility, editors, LoRAs."""
