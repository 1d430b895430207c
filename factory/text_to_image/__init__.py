"""Pretrained text-to-image models: a small base trained here, personalized by LoRA (ID-Booth)."""
