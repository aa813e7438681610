"""Chat messages, tool calls and their validation against JSON Schema; no Dagster."""
