"""Speaks MCP with the official SDK, and prints what came.

    mcp_client.py URL MODE

Then it keeps that until its standard input ends, so that its memory can be looked at.
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
        read = await client.call_tool("get_issue", {"number": 7})
        print("called", read.content[0].text)
        heard = await client.call_tool("get_token", {})
        print("heard", heard.content[0].text)
        try:
            reply = await client.call_tool("delete_repo", {"name": "all"})
            print("deleted", reply)
        except Exception as error:
            print("refused", error)
        print("done", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        print(len(read.content), len(heard.content))


asyncio.run(main())
