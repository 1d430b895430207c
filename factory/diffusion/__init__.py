"""An image of an identity: diffusion models conditioned on recognizer embeddings."""
