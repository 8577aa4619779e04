"""Bytes from outside, untrusted until they are decoded here: envelopes, arguments, records."""
