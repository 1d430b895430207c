"""Pretrained text-to-image models, personalised: LoRAs with identity objectives (ID-Booth)."""
