"""What people read: the story of a run as a table, summaries, and what machines read instead."""
