"""BenchmarkPanel: a benchmark from a form, with its estimate, progress, and result."""
