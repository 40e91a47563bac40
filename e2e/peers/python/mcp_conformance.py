"""A server of MCP by its official SDK, with what the official conformance suite asks a server for: the names and
texts of its tools, resources and prompts are the suite's.

    mcp_conformance.py CERTIFICATE KEY TOKEN HOST

8450: over TLS, demanding the token. 8451: the same server in the clear, for whoever comes. Each speaks both
generations of the protocol: with sessions, and without.
"""

import asyncio
import base64
import json
import sys
from typing import Annotated, Literal

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.server.streamable_http import EventMessage, EventStore
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import (
    AudioContent,
    Completion,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequestParams,
)
from pydantic import BaseModel, Field

certificate, key, token, host = sys.argv[1:5]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
SILENCE = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="

server = MCPServer("conformance")


class Events(EventStore):
    """Keeps what was sent, for clients that come back to a stream."""

    def __init__(self):
        self.sent = []

    async def store_event(self, stream_id, message):
        self.sent.append((stream_id, message))
        return str(len(self.sent))

    async def replay_events_after(self, last_event_id, send_callback):
        stream, _ = self.sent[int(last_event_id) - 1]
        for number, (other, message) in enumerate(self.sent, start=1):
            if number > int(last_event_id) and other == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


def text_resource(uri, text, kind="text/plain"):
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=kind, text=text))


def image():
    return ImageContent(type="image", data=PIXEL, mime_type="image/png")


@server.tool()
def test_simple_text() -> str:
    """Answers with a text."""
    return "This is a simple text response for testing."


@server.tool(structured_output=False)
def test_image_content():
    """Answers with a picture."""
    return [image()]


@server.tool(structured_output=False)
def test_audio_content():
    """Answers with a sound."""
    return [AudioContent(type="audio", data=SILENCE, mime_type="audio/wav")]


@server.tool(structured_output=False)
def test_embedded_resource():
    """Answers with a resource."""
    return [text_resource("test://embedded-resource", "This is an embedded resource content.")]


@server.tool(structured_output=False)
def test_multiple_content_types():
    """Answers with several kinds of content."""
    resource = text_resource("test://mixed-content-resource", '{"test": "data", "value": 123}', "application/json")
    return [TextContent(type="text", text="Multiple content types test:"), image(), resource]


@server.tool()
def test_error_handling() -> str:
    """Fails."""
    raise RuntimeError("This tool intentionally returns an error for testing")


@server.tool()
async def test_tool_with_logging(ctx: Context) -> str:
    """Logs while it works."""
    for line in ["Tool execution started", "Tool processing data", "Tool execution completed"]:
        await ctx.info(line)
        await asyncio.sleep(0.05)
    return "Tool with logging executed successfully"


@server.tool()
async def test_tool_with_progress(ctx: Context) -> str:
    """Says how far it is."""
    for done in [0, 50, 100]:
        await ctx.report_progress(progress=done, total=100, message=f"Completed step {done} of 100")
        await asyncio.sleep(0.05)
    return "done"


@server.tool()
async def test_sampling(prompt: str, ctx: Context) -> str:
    """Asks the client's model."""
    asked = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    answer = await ctx.session.create_message(messages=[asked], max_tokens=100)
    return f"LLM response: {answer.content.text}"


class Response(BaseModel):
    response: str = Field(description="User's response")


class Defaults(BaseModel):
    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: Literal["active", "inactive", "pending"] = "active"
    verified: bool = True


async def ask(ctx, message, schema):
    answer = await ctx.elicit(message=message, schema=schema)
    content = answer.data.model_dump_json() if answer.action == "accept" else "{}"
    return f"action={answer.action}, content={content}"


@server.tool()
async def test_elicitation(message: str, ctx: Context) -> str:
    """Asks the client's user."""
    return f"User response: {await ask(ctx, message, Response)}"


@server.tool()
async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    """Asks with defaults."""
    return f"Elicitation completed: {await ask(ctx, 'Please review', Defaults)}"


@server.tool()
async def test_input_required_result_elicitation(ctx: Context) -> str | InputRequiredResult:
    """Asks the client's user, without a session."""
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    asked = ElicitRequest(params=ElicitRequestFormParams(message="What is your name?", requested_schema=schema))
    return after(ctx, "user_name", asked)


@server.tool()
async def test_input_required_result_sampling(ctx: Context) -> str | InputRequiredResult:
    """Asks the client's model, without a session."""
    question = SamplingMessage(role="user", content=TextContent(type="text", text="What is the capital of France?"))
    params = CreateMessageRequestParams(messages=[question], max_tokens=100)
    return after(ctx, "capital_question", CreateMessageRequest(params=params))


@server.tool()
async def test_input_required_result_list_roots(ctx: Context) -> str | InputRequiredResult:
    """Asks for the client's roots, without a session."""
    return after(ctx, "client_roots", ListRootsRequest())


@server.tool()
async def test_input_required_result_request_state(ctx: Context) -> str | InputRequiredResult:
    """Has the client keep its state."""
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    asked = ElicitRequest(params=ElicitRequestFormParams(message="Please confirm", requested_schema=schema))
    if ctx.input_responses and "confirm" in ctx.input_responses and ctx.request_state:
        return "state-ok"
    return InputRequiredResult(input_requests={"confirm": asked}, request_state="confirming")


def after(ctx, key, asked):
    if ctx.input_responses and key in ctx.input_responses:
        return f"heard {ctx.input_responses[key]}"
    return InputRequiredResult(input_requests={key: asked})


@server.tool()
async def test_custom_header(
    region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})], query: str = ""
) -> str:
    """Has a parameter that stands in a header too."""
    return f"region {region} query {query}"


@server.tool()
async def test_reconnection(ctx: Context) -> str:
    """Closes its stream while it works."""
    await ctx.close_sse_stream()
    await asyncio.sleep(0.2)
    return "Reconnection test completed"


@server.resource("test://static-text", mime_type="text/plain")
def static_text() -> str:
    return "This is the content of the static text resource."


@server.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    return base64.b64decode(PIXEL)


@server.resource("test://template/{id}/data", mime_type="application/json")
def template(id: str) -> str:
    return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


@server.resource("test://watched-resource", mime_type="text/plain")
def watched() -> str:
    return "Watched resource content"


@server.prompt()
def test_simple_prompt() -> str:
    """Says something."""
    return "This is a simple prompt for testing."


@server.prompt()
def test_prompt_with_arguments(
    arg1: Annotated[str, Field(description="First")], arg2: Annotated[str, Field(description="Second")]
) -> str:
    """Says what it was given."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@server.prompt()
def test_prompt_with_embedded_resource(resourceUri: str):
    """Has a resource."""
    return [
        UserMessage(text_resource(resourceUri, "Embedded resource content for testing.")),
        UserMessage("Please process the embedded resource above."),
    ]


@server.prompt()
def test_prompt_with_image():
    """Has a picture."""
    return [UserMessage(image()), UserMessage("Please analyze the image above.")]


@server.completion()
async def complete(reference, argument, context):
    return Completion(values=["paris", "park", "party"], total=3, has_more=False)


async def done(context, params):
    return EmptyResult()


# What the SDK has no decorators for.
for method, params in [
    ("logging/setLevel", SetLevelRequestParams),
    ("resources/subscribe", SubscribeRequestParams),
    ("resources/unsubscribe", UnsubscribeRequestParams),
]:
    server._lowlevel_server.add_request_handler(method, params, done)


class Demanding:
    """Lets those in that have the token."""

    def __init__(self, application):
        self.application = application

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http" and dict(scope["headers"]).get(b"authorization") != f"Bearer {token}".encode():
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b"no token"})
            return
        await self.application(scope, receive, send)


async def main():
    ports = {8450: {"ssl_certfile": certificate, "ssl_keyfile": key}, 8451: {}}
    hosts = [f"{name}:{port}" for name in host.split(",") for port in ports]
    security = TransportSecuritySettings(
        allowed_hosts=hosts, allowed_origins=[f"{scheme}://{name}" for scheme in ["http", "https"] for name in hosts]
    )
    application = server.streamable_http_app(transport_security=security, event_store=Events(), retry_interval=100)
    # One server, hence one start of its sessions.
    async with application.router.lifespan_context(application):
        serving = [
            uvicorn.Server(
                uvicorn.Config(
                    Demanding(application) if tls else application,
                    host="0.0.0.0",
                    port=port,
                    lifespan="off",
                    log_level="error",
                    **tls,
                )
            ).serve()
            for port, tls in ports.items()
        ]
        await asyncio.gather(*serving)


asyncio.run(main())
