"""Pretrained text-to-image models, personalized: LoRAs with identity objectives (ID-Booth)."""
