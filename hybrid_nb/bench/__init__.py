"""Evidence: benchmark runs, their measures, scores and statistics."""
