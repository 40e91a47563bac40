"""A server of MCP on the lab's host, by its official SDK: over TLS, demanding the token.

    mcp_server.py CERTIFICATE KEY TOKEN

8447: with sessions. 8448: without.
"""

import asyncio
import sys

import uvicorn
from mcp.server import MCPServer
from mcp.server.transport_security import TransportSecuritySettings

certificate, key, token = sys.argv[1:4]


def server():
    server = MCPServer("lab")

    @server.tool()
    def get_issue(number: int) -> str:
        """Reads an issue."""
        return f"issue {number}"

    @server.tool()
    def get_token() -> str:
        """Says what no client should hear."""
        return token

    @server.tool()
    def delete_repo(name: str) -> str:
        """Deletes everything."""
        return f"deleted {name}"

    return server


class Demanding:
    """Lets those in that have the token."""

    def __init__(self, application):
        self.application = application

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            if headers.get(b"authorization") != f"Bearer {token}".encode():
                await send({"type": "http.response.start", "status": 401, "headers": []})
                await send({"type": "http.response.body", "body": b"no token"})
                return
        await self.application(scope, receive, send)


async def serve(port, **how):
    any_host = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    application = server().streamable_http_app(transport_security=any_host, **how)
    config = uvicorn.Config(
        Demanding(application),
        host="0.0.0.0",
        port=port,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        log_level="error",
    )
    await uvicorn.Server(config).serve()


async def main():
    await asyncio.gather(
        serve(8447),
        serve(8448, stateless_http=True, json_response=True),
    )


asyncio.run(main())
