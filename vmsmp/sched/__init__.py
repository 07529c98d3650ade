"""Who runs next: one algorithm a file, behind the interface in `engine.scheduler`."""
