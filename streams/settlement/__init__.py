"""Settlement between banks: netting, deferred net settlement, real-time gross settlement with queues and offsetting.

Pure functions of obligations or of queues, and of balances; no Kafka, no clock, no randomness. Banks are 0 to n - 1,
amounts int64 fen. What is not settled is left as it was: nothing is dropped, and ties are broken by a total order that
each function names.
"""
