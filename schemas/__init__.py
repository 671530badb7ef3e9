"""The wire contract: one .avsc per record, columns to and from Avro, Kafka's record batches, the registry client."""
