"""Glaive Function Calling v2 to ChatML workflows and tool-call messages."""
