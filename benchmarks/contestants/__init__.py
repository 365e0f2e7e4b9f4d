"""The frameworks that the benchmarks compare: each trains the networks of cases.py the way its users write it for speed."""
