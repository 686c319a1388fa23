"""The cryptography of secure aggregation, which is not there yet."""
