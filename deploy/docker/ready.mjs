/**
 * Exits with 0 when the broker of a data directory serves: what decides whether a container is
 * healthy. It asks where the broker says that it listens, over TLS too; a certificate names a host,
 * and not this loopback, so it is not looked at.
 *
 *     node ready.mjs DATA_DIR URL
 *
 * `URL` is where to ask when no file says it: a broker that started on a full disk wrote none.
 */
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { join } from "node:path";

const [dataDir, otherwise] = process.argv.slice(2);
const url = new URL("/ready", toldAddress() ?? otherwise);
const { get } = url.protocol === "https:" ? https : http;
const request = get(url, { rejectUnauthorized: false });
request.on("response", ({ statusCode }) => process.exit(statusCode === 200 ? 0 : 1));
request.on("error", ({ message }) => {
	process.stderr.write(`${url}: ${message}\n`);
	process.exit(1);
});

function toldAddress() {
	try {
		return JSON.parse(readFileSync(join(dataDir, "addresses.json"), "utf8")).http;
	} catch {
		return undefined;
	}
}
