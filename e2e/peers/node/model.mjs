// A model as coding agents know it, by three interfaces: Anthropic's Messages, OpenAI's Responses and Google's
// streamGenerateContent, all streamed.
//
//     model.mjs CERTIFICATE KEY TOKEN PORT ARRIVED RELEASE
//
// It demands the token, in the header that each interface has for it. Asked something, it first wants the file
// note.txt read with a shell; told what is in it, it says that, and sends the token back. Its last answer ends when
// the file RELEASE is there, so that an agent which has heard everything can be looked at. What arrives is written
// to ARRIVED, a line of JSON for each request.
import fs from "node:fs";
import http2 from "node:http2";

const [certificate, key, token, port, arrived, release] = process.argv.slice(2);
const COMMAND = "cat note.txt";

const server = http2.createSecureServer({
  allowHTTP1: true,
  cert: fs.readFileSync(certificate),
  key: fs.readFileSync(key),
});

server.on("request", async (request, reply) => {
  let body = "";
  for await (const piece of request) body += piece;
  const { method, url, headers, httpVersion } = request;
  fs.appendFileSync(arrived, `${JSON.stringify({ method, url, httpVersion, headers, body })}\n`);
  const { pathname } = new URL(url, "https://model");
  const isGoogles = pathname.endsWith(":streamGenerateContent");
  const bearer = headers.authorization?.replace(/^Bearer /, "");
  const given = pathname === "/v1/messages" ? headers["x-api-key"] : isGoogles ? headers["x-goog-api-key"] : bearer;
  if (method === "HEAD") return reply.writeHead(200).end();
  if (given !== token) return json(reply, 401, { error: { type: "authentication_error", message: "no such key" } });
  if (method !== "POST") return json(reply, 404, { error: { type: "not_found_error", message: "no such path" } });
  const asked = JSON.parse(body);
  if (pathname === "/v1/messages") return messages(asked, reply);
  if (pathname === "/v1/responses") return responses(asked, reply);
  if (isGoogles) return contents(asked, reply);
  return json(reply, 404, { error: { type: "not_found_error", message: "no such path" } });
});

async function messages({ model, messages, tools = [] }, reply) {
  const parts = messages.flatMap(({ content }) => (Array.isArray(content) ? content : []));
  const read = parts.find(({ type }) => type === "tool_result");
  const shell = tools.find(({ name }) => name === "Bash");
  const usage = { input_tokens: 5, output_tokens: 5 };
  const message = { id: "msg_1", type: "message", role: "assistant", model, content: [], stop_reason: null, usage };
  const send = stream(reply);
  send({ type: "message_start", message });
  if (shell && !read) {
    const input = JSON.stringify({ command: COMMAND, description: "Reads the note" });
    const content_block = { type: "tool_use", id: "toolu_1", name: shell.name, input: {} };
    send({ type: "content_block_start", index: 0, content_block });
    send({ type: "content_block_delta", index: 0, delta: { type: "input_json_delta", partial_json: input } });
  } else {
    const text = read ? said(read.content) : "nothing to say";
    send({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } });
    send({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } });
    if (read) await released();
  }
  send({ type: "content_block_stop", index: 0 });
  const stop_reason = shell && !read ? "tool_use" : "end_turn";
  send({ type: "message_delta", delta: { stop_reason, stop_sequence: null }, usage });
  send({ type: "message_stop" });
  reply.end();
}

async function responses({ model, input, tools = [] }, reply) {
  const read = input.find(({ type }) => type === "function_call_output");
  const shell = tools.find(({ name }) => ["exec_command", "shell_command", "shell"].includes(name));
  const usage = { input_tokens: 5, output_tokens: 5, total_tokens: 10 };
  const response = { id: "resp_1", object: "response", created_at: 1, model, status: "in_progress", output: [] };
  const send = stream(reply);
  send({ type: "response.created", response });
  const item = shell && !read ? call(shell.name) : answer(read ? said(read.output) : "nothing to say");
  send({ type: "response.output_item.added", output_index: 0, item: { ...item, content: [], arguments: "" } });
  if (item.type === "message") {
    const delta = item.content[0].text;
    send({ type: "response.output_text.delta", item_id: item.id, output_index: 0, content_index: 0, delta });
    if (read) await released();
  }
  send({ type: "response.output_item.done", output_index: 0, item });
  send({ type: "response.completed", response: { ...response, status: "completed", output: [item], usage } });
  reply.end();
}

async function contents({ contents, tools = [] }, reply) {
  const parts = contents.flatMap(({ parts }) => parts);
  const read = parts.find(({ functionResponse }) => functionResponse)?.functionResponse.response;
  const names = tools.flatMap(({ functionDeclarations = [] }) => functionDeclarations.map(({ name }) => name));
  const shell = names.includes("run_shell_command") && { name: "run_shell_command", args: { command: COMMAND } };
  const text = read ? said(read.output ?? read) : "nothing to say";
  const part = shell && !read ? { functionCall: shell } : { text };
  const send = stream(reply);
  send({ candidates: [{ index: 0, content: { role: "model", parts: [part] } }] });
  if (read) await released();
  const usageMetadata = { promptTokenCount: 5, candidatesTokenCount: 5, totalTokenCount: 10 };
  send({ candidates: [{ index: 0, content: { role: "model", parts: [] }, finishReason: "STOP" }], usageMetadata });
  reply.end();
}

function call(name) {
  const asked = { exec_command: { cmd: COMMAND }, shell_command: { command: COMMAND } };
  const input = asked[name] ?? { command: ["sh", "-c", COMMAND] };
  return { type: "function_call", id: "fc_1", call_id: "call_1", name, arguments: JSON.stringify(input) };
}

function answer(text) {
  return { type: "message", id: "m_1", role: "assistant", content: [{ type: "output_text", text, annotations: [] }] };
}

// The token comes in the forms that a service may write it in.
function said(result) {
  const bytes = Buffer.from(`Bearer ${token}`);
  const percent = encodeURIComponent(`Bearer ${token}`);
  const text = typeof result === "string" ? result : JSON.stringify(result);
  return `The note says: ${text} -- you sent ${token} ${bytes.toString("base64")} ${percent}`;
}

async function released() {
  while (!fs.existsSync(release)) await new Promise((resolve) => setTimeout(resolve, 20));
}

function stream(reply) {
  reply.writeHead(200, { "content-type": "text/event-stream" });
  const named = ({ type }) => (type ? `event: ${type}\n` : "");
  return (event) => reply.write(`${named(event)}data: ${JSON.stringify(event)}\n\n`);
}

function json(reply, status, value) {
  reply.writeHead(status, { "content-type": "application/json" });
  reply.end(JSON.stringify(value));
}

server.listen(Number(port), "0.0.0.0");
