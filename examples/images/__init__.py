"""Thumbnails of images, made by several processes at once."""
