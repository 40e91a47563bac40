// Asks for each URL with fetch, and prints what came, a line of JSON each; then for each that its standard input
// names. It keeps all that until that ends, so that its memory can be looked at.
import { createInterface } from "node:readline";

const kept = [];

async function ask(url) {
  try {
    const reply = await fetch(url, { signal: AbortSignal.timeout(20_000) });
    const body = await reply.text();
    kept.push(body);
    console.log(JSON.stringify({ url, status: reply.status, body }));
  } catch (error) {
    console.log(JSON.stringify({ url, error: `${error} ${error.cause ?? ""}` }));
  }
}

for (const url of process.argv.slice(2)) {
  await ask(url);
}
console.log("done");
for await (const url of createInterface({ input: process.stdin })) {
  await ask(url);
}
console.log(kept.length);
