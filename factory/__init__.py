"""Face Factory: large synthetic face-recognition datasets without anybody's face."""

__version__ = "0.1.0"
