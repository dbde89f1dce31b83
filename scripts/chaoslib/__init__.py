"""What scripts/chaos is made of: the world, its readers, the hazards, and the verdict."""
