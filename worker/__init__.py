"""The worker: claims jobs, runs slices of them, records and releases them."""
