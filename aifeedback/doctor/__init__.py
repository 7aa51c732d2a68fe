"""What an endpoint really does, found out with a dozen small requests."""
