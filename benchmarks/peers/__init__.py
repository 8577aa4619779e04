"""The contenders' applications: one file each, importable in that contender's virtual environment only.

Each module offers the small interface that `benchmarks.driver.App` names.
"""
