"""Speaks MCP with the official SDK, and prints what came.

    mcp_client.py URL MODE
"""

import asyncio
import sys

from mcp import Client

url, mode = sys.argv[1:3]


async def main():
    async with Client(url, mode=mode, raise_exceptions=False) as client:
        print("version", client.protocol_version)
        tools = await client.list_tools()
        print("tools", sorted(tool.name for tool in tools.tools))
        reply = await client.call_tool("get_issue", {"number": 7})
        print("called", reply.content[0].text)
        reply = await client.call_tool("get_token", {})
        print("heard", reply.content[0].text)
        try:
            reply = await client.call_tool("delete_repo", {"name": "all"})
            print("deleted", reply)
        except Exception as error:
            print("refused", error)


asyncio.run(main())
