"""Mail through an SMTP server that sometimes says "try again later"."""
