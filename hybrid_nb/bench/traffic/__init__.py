"""A load of calls: the data, the schedule, the clock, the money, the journal, and the handle of a run under way."""
