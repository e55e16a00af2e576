"""Where results go: formats, videos, viewers."""
