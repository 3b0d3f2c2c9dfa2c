"""A person's own table: read, split, standardise, train, save, predict; and the tutorial."""
