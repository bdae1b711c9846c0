"""An MCP server: the operations, prices and tasks of flux as tools for agents, over stdio."""
