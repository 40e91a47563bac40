// Speaks MCP with the official SDK, and prints what came: mcp.mjs MODULES URL
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, url] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const load = (name) => import(pathToFileURL(require.resolve(name)));
const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
const { StreamableHTTPClientTransport } = await load("@modelcontextprotocol/sdk/client/streamableHttp.js");

const client = new Client({ name: "lab", version: "1" });
await client.connect(new StreamableHTTPClientTransport(new URL(url)));
const { tools } = await client.listTools();
console.log("tools", tools.map((tool) => tool.name).sort().join(","));
const read = await client.callTool({ name: "get_issue", arguments: { number: 7 } });
console.log("called", read.content[0].text);
try {
  console.log("deleted", await client.callTool({ name: "delete_repo", arguments: { name: "all" } }));
} catch (error) {
  console.log("refused", error.code, error.message);
}
// It stays until its standard input ends, so that its memory can be looked at.
console.log("done");
for await (const _ of process.stdin);
await client.close();
