"""What an endpoint really does, found out with a few small requests."""
