// Asks for each URL with fetch, and prints what came, a line of JSON each; then it keeps that until its
// standard input ends, so that its memory can be looked at.
const kept = [];
for (const url of process.argv.slice(2)) {
  try {
    const reply = await fetch(url, { signal: AbortSignal.timeout(20_000) });
    const body = await reply.text();
    kept.push(body);
    console.log(JSON.stringify({ url, status: reply.status, body }));
  } catch (error) {
    console.log(JSON.stringify({ url, error: `${error} ${error.cause ?? ""}` }));
  }
}
console.log("done");
process.stdin.resume().on("end", () => console.log(kept.length));
