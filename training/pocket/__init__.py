"""Training of the pocket model; see `training.pocket.train`."""
