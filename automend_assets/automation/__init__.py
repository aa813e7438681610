"""Jobs, sensors, schedules and retry policies."""
