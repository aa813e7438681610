"""What the assets of every dataset share; what only one dataset does is in its own folder."""
