"""The mathematics of Sankofa: network definitions, their plans, and the compiled loop that trains them.

It knows no job, no HTTP and no database. Start reading at `spec`, then `network`, `machine` and `trainer`.
"""
