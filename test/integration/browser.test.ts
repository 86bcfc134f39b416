/**
 * The SDK in a real browser, from pages whose policy lets nothing evaluate code, against a real
 * broker. The browser reports what it found to the server that it has the pages from.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";

import { BrokerProcess, temporaryDirectory } from "../broker-process.ts";
import { chromiumBinary, missingChromium, RUNS_LONG_TESTS, TOO_LONG } from "../optional-parts.ts";
import { AUDIENCE, TokenIssuer } from "../token-issuer.ts";

const PAGES = fileURLToPath(new URL("browser/", import.meta.url));
const DIST = fileURLToPath(new URL("../../dist/", import.meta.url));

/** Time for a browser to start on a busy machine, and for a renewal behind that. */
const FIRST_TOKEN_SECONDS = 30;

const TYPES: Readonly<Record<string, string>> = {
	".js": "text/javascript",
	".mjs": "text/javascript",
};

/** A site whose pages run a script of `browser/` each, and report by POST. */
interface Site {
	port: number;
	/** What is done at a POST to this path. */
	on: Map<string, (body: string) => void | Promise<void>>;
	/** What every answer sets as a cookie; "": nothing. */
	cookie: string;
}

/** No inline scripts, no eval, nothing from elsewhere; connections to the site and to loopback. */
const POLICY = [
	"default-src 'none'",
	"script-src 'self'",
	"worker-src 'self'",
	"connect-src 'self' ws://127.0.0.1:*",
].join("; ");

async function startSite(): Promise<Site> {
	const site: Site = { port: 0, on: new Map(), cookie: "" };
	const server = createServer(async (request, response) => {
		const { pathname } = new URL(request.url ?? "/", "http://site");
		const headers: Record<string, string> = { "content-security-policy": POLICY };
		if (request.method === "POST") {
			let body = "";
			for await (const chunk of request) body += chunk;
			await site.on.get(pathname)?.(body);
			if (site.cookie !== "") headers["set-cookie"] = site.cookie;
			response.writeHead(204, headers).end();
			return;
		}
		if (pathname.endsWith(".html")) {
			if (site.cookie !== "") headers["set-cookie"] = site.cookie;
			const script = pathname.replace(".html", ".mjs");
			response.writeHead(200, { ...headers, "content-type": "text/html" });
			response.end(`<!doctype html><script type="module" src="${script}"></script>`);
			return;
		}
		const isBuilt = pathname.startsWith("/dist/");
		const file = isBuilt ? join(DIST, pathname.slice("/dist/".length)) : join(PAGES, pathname);
		const content = await readFile(file).catch(() => undefined);
		if (content === undefined) response.writeHead(404, headers).end();
		else {
			const type = TYPES[extname(file)] ?? "application/octet-stream";
			response.writeHead(200, { ...headers, "content-type": type }).end(content);
		}
	});
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	onTestFinished(async () => {
		server.close();
		server.closeAllConnections();
		await once(server, "close");
	});
	site.port = (server.address() as AddressInfo).port;
	return site;
}

/**
 * Opens a page; the browser ends with the test. Every name but those of the test is unknown to it,
 * so that it reaches nothing but this machine.
 */
function browse(binary: string, url: string): ChildProcess {
	const names = "MAP *.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1";
	const profile = temporaryDirectory();
	const child = spawn(
		binary,
		[
			"--headless",
			// Its pages are our own, and in a container or as root there is no sandbox.
			"--no-sandbox",
			"--disable-gpu",
			"--disable-dev-shm-usage",
			"--disable-background-networking",
			"--disable-component-update",
			"--no-first-run",
			`--host-resolver-rules=${names}`,
			`--user-data-dir=${profile}`,
			url,
		],
		{ stdio: ["ignore", "ignore", "ignore"], detached: true },
	);
	onTestFinished(async () => {
		const ended = once(child, "close");
		// With all that it has started.
		if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
		await ended;
	});
	return child;
}

describe("the SDK in a browser", () => {
	let binary: string | null;

	beforeAll(() => {
		binary = chromiumBinary();
	});

	/** Opens a page of `site` and resolves to what it reports. */
	async function visit(chromium: string, site: Site, url: string): Promise<unknown> {
		const reported = new Promise<string>((resolve) => {
			site.on.set("/result", resolve);
		});
		const child = browse(chromium, url);
		const ended = once(child, "exit").then(([code, signal]) => {
			throw new Error(`the browser ended with ${code ?? signal}`);
		});
		return JSON.parse(await Promise.race([reported, ended]));
	}

	test("produces, consumes and survives a restart, on a page and in a worker", async (context) => {
		const chromium = binary ?? context.skip(missingChromium());
		const dataDir = join(temporaryDirectory(), "data");
		let broker = await BrokerProcess.start({ dataDir });
		const site = await startSite();
		site.on.set("/restart", async () => {
			await broker.kill();
			broker = await BrokerProcess.start({ dataDir, port: broker.port });
		});
		const page = `http://127.0.0.1:${site.port}/page.html?broker=${broker.url}`;
		const found = {
			canEvaluate: false,
			stored: 2_000,
			durability: "flushed",
			refused: "CONNECTION_LOST",
		};
		expect(await visit(chromium, site, page)).toEqual({
			page: { ...found, large: true, restarted: true },
			worker: found,
			// The one that the scenario asks for, to see that the policy is in force.
			violations: ["script-src eval"],
		});
	});

	test("is known by a cookie that no page sees, renewed late at that", async (context) => {
		const chromium = binary ?? context.skip(missingChromium());
		if (!RUNS_LONG_TESTS) context.skip(TOO_LONG);
		const issuer = await TokenIssuer.start();
		const site = await startSite();
		const broker = await BrokerProcess.start({
			dataDir: join(temporaryDirectory(), "data"),
			flags: [
				...["--websocket-security-protocol", "SASL_PLAINTEXT"],
				...["--sasl-oauthbearer-jwks-endpoint-url", issuer.url],
				...["--sasl-oauthbearer-expected-audience", AUDIENCE],
				...["--sasl-oauthbearer-clock-skew-seconds", "0"],
				...["--websocket-token-cookie", "session"],
				...["--allowed-origins", `http://127.0.0.1:${site.port}`],
			],
		});
		const setCookie = async (exp: number) => {
			const token = await issuer.sign({ exp });
			site.cookie = `session=${token}; HttpOnly; SameSite=Strict; Path=/`;
		};
		const endsSeconds = Math.floor(Date.now() / 1_000) + FIRST_TOKEN_SECONDS;
		await setCookie(endsSeconds);
		site.on.set("/late", async () => {
			const leftMs = (endsSeconds + 2) * 1_000 - Date.now();
			await new Promise((resolve) => setTimeout(resolve, leftMs));
			await setCookie(endsSeconds + 3_600);
		});
		const page = `http://127.0.0.1:${site.port}/cookie.html?broker=${broker.url}`;
		expect(await visit(chromium, site, page)).toEqual({
			seen: "",
			acked: expect.any(Number),
			isEach: true,
		});
	});

	test("reaches a broker from the origins that it allows, and from no other", async (context) => {
		const chromium = binary ?? context.skip(missingChromium());
		const site = await startSite();
		const broker = await BrokerProcess.start({
			dataDir: join(temporaryDirectory(), "data"),
			flags: ["--allowed-origins", `http://shop.example:${site.port}`],
		});
		const at = (host: string) => `http://${host}:${site.port}/origin.html?broker=${broker.url}`;
		expect(await visit(chromium, site, at("shop.example"))).toBe("connected");
		expect(await visit(chromium, site, at("evil.example"))).toBe("CONNECTION_LOST");
		expect(await visit(chromium, site, at("127.0.0.1"))).toBe("connected");
	});
});
