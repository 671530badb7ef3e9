"""The Faust app: the columnar engine, and one module per metric (a rollup and what is derived from it)."""
