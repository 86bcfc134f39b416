/** Clients that are known by a token in a cookie, which browsers send and pages do not see. */
import { describe, expect, test } from "vitest";

import type { FrameValue } from "../../src/protocol/writer.ts";
import { atEndOfSuite, BrokerProcess } from "../broker-process.ts";
import { AUDIENCE, TokenIssuer } from "../token-issuer.ts";
import { beforeAllOver, requireTransport, TRANSPORTS } from "../websocket/harness.ts";
import { RawClient } from "../websocket/raw-client.ts";

const LISTED = "https://app.example";
const COOKIE = { scheme: "cookie" };
const NOT_AUTHENTICATED_CLOSE = 4401;

describe.each(TRANSPORTS)("a token in a cookie, over %s", { timeout: 120_000 }, (transport) => {
	requireTransport(transport);
	const atEnd = atEndOfSuite();
	let issuer: TokenIssuer;
	let broker: BrokerProcess;
	const tokens: string[] = [];

	async function sign(claims = {}): Promise<string> {
		const token = await issuer.sign(claims);
		tokens.push(token);
		return token;
	}

	beforeAllOver(transport, async () => {
		issuer = await TokenIssuer.start(atEnd);
		broker = await BrokerProcess.start({
			atEnd,
			flags: [
				...["--websocket-transport", transport, "--websocket-security-protocol", "SASL_PLAINTEXT"],
				...["--sasl-oauthbearer-jwks-endpoint-url", issuer.url, "--log-level", "trace"],
				...["--sasl-oauthbearer-expected-audience", AUDIENCE, "--audit-log-enable", "true"],
				...["--websocket-token-cookie", "session", "--allowed-origins", LISTED],
			],
		});
	});

	/** A connection from a page of this origin with these cookies. */
	const open = (cookie: string, origin: string | undefined) =>
		RawClient.open(broker.url, { headers: { cookie }, ...(origin && { origin }) });

	/** The code with which a broker closes the connection after such a hello. */
	async function refusal(cookie: string, origin?: string, auth: FrameValue = COOKIE) {
		const client = await open(cookie, origin);
		client.send(1, 1, { client: "page", auth });
		return client.closed();
	}

	test("lets in whom it tells of, for as long as it holds", async () => {
		const exp = Math.floor(Date.now() / 1_000) + 200;
		const token = await sign({ exp });
		for (const cookies of [`session=${token}`, `theme=dark; session=${token};lang=en`]) {
			const skewMs = 30_000;
			const client = await open(cookies, LISTED);
			const { auth_expires_ms } = await client.answer(1, 1, { client: "page", auth: COOKIE });
			expect(Math.abs(Number(auth_expires_ms) - exp * 1_000)).toBeLessThanOrEqual(skewMs);
			client.close();
		}
	});

	test("may be as long as tokens are, beside other cookies", async () => {
		const token = await sign({ groups: "g".repeat(4_000) });
		const client = await open(`theme=${"d".repeat(2_000)}; session=${token}`, LISTED);
		await client.answer(1, 1, { client: "page", auth: COOKIE });
		client.close();
	});

	test("does not count from other pages, or unless it is meant", async () => {
		const cookie = `session=${await sign()}`;
		expect(await refusal(cookie, "http://localhost:3000")).toBe(NOT_AUTHENTICATED_CLOSE);
		expect(await refusal(cookie, LISTED, { scheme: "token", token: "none" })).toBe(
			NOT_AUTHENTICATED_CLOSE,
		);
		await expect(refusal(cookie, "https://evil.example")).rejects.toThrow("403");
	});

	test("is looked at as other tokens are", async () => {
		const expired = await sign({ exp: Math.floor(Date.now() / 1_000) - 3_600 });
		const foreign = await sign({ aud: "somebody-else" });
		for (const token of [expired, foreign]) {
			expect(await refusal(`session=${token}`, LISTED)).toBe(NOT_AUTHENTICATED_CLOSE);
		}
	});

	test("comes with a new connection only", async () => {
		const token = await sign();
		const client = await open(`session=${token}`, LISTED);
		await client.answer(1, 1, { client: "page", auth: COOKIE });
		client.send(8, 2, COOKIE);
		expect(await client.closed()).toBe(NOT_AUTHENTICATED_CLOSE);
	});

	test("is in no log", async () => {
		const { stderr } = await broker.stop();
		expect(stderr).toContain("hello");
		for (const token of tokens) expect(stderr).not.toContain(token);
	});
});
