"""What the figures of a run say: intervals, pairs, power, certificates, ratings by votes, and their tables."""
