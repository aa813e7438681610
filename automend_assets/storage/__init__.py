"""Where artifacts live: the store, the IO managers and quarantine."""
