"""The dashboard: pages made on the server from the same functions as the API."""
