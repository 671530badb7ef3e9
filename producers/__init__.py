"""The sources: the seeded economy (what happens), one generator per source (who tells it), how it gets into Kafka."""
