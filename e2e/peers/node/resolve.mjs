// Looks each name up with the resolver of the system (`lookup`) or with Node's own (`resolve`), and prints a line
// for each: the name and its addresses.
import { promises as dns } from "node:dns";

const [way, ...names] = process.argv.slice(2);
const none = () => [];
for (const name of names) {
  const found =
    way === "lookup"
      ? (await dns.lookup(name, { all: true }).catch(none)).map((one) => one.address)
      : [...(await dns.resolve4(name).catch(none)), ...(await dns.resolve6(name).catch(none))];
  console.log(name, found.join(" ") || "none");
}
