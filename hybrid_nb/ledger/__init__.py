"""What was asked, what it took and what it cost: one row a call and one an attempt, kept in SQLite."""
