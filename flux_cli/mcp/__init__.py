"""An MCP server that provides the operations, prices and tasks of flux as tools for agents, over stdio."""
