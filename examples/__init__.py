"""Examples, each of which really runs: `python -m examples.demo` runs them all and checks what they did."""
