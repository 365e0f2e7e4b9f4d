"""The service: settings, the queue, the store and the API."""
