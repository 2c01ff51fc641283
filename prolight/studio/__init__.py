"""The studio: ProLight's own MCP tool server, which relights photographs on the CPU."""
