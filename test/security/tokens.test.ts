/** Tokens: which are believed, whom they name, and where their keys come from. */
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { SignJWT, UnsecuredJWT } from "jose";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";

import { systemClock } from "../../src/clock.ts";
import { LIMITS } from "../../src/limits.ts";
import type { TokenOptions } from "../../src/security/options.ts";
import { TokenVerifier } from "../../src/security/tokens.ts";
import { temporaryDirectory } from "../broker-process.ts";
import { AUDIENCE, ISSUER, TokenIssuer } from "../token-issuer.ts";

const log = { warn: vi.fn() };

beforeEach(() => {
	// Keys come as late as a busy machine has them come.
	vi.spyOn(AbortSignal, "timeout").mockReturnValue(new AbortController().signal);
});
afterEach(() => {
	vi.restoreAllMocks();
	vi.useRealTimers();
	log.warn.mockReset();
});

async function opened(
	url: string,
	more: Partial<TokenOptions> = {},
	clock = systemClock,
): Promise<TokenVerifier> {
	const options: TokenOptions = {
		saslOauthbearerJwksEndpointUrl: url,
		saslOauthbearerJwksEndpointRefreshMs: 3_600_000,
		saslOauthbearerExpectedAudience: [AUDIENCE],
		saslOauthbearerExpectedIssuer: ISSUER,
		saslOauthbearerExpectedScope: [],
		saslOauthbearerClockSkewSeconds: 30,
		saslOauthbearerSubClaimName: "sub",
		saslOauthbearerScopeClaimName: "scope",
		...more,
	};
	const tokens = await TokenVerifier.open(options, clock, log);
	onTestFinished(() => tokens.close());
	return tokens;
}

async function started(more: Partial<TokenOptions> = {}, clock = systemClock) {
	const issuer = await TokenIssuer.start();
	return { issuer, tokens: await opened(issuer.url, more, clock) };
}

const nowSeconds = () => Math.floor(Date.now() / 1_000);
/** By when all tests of this file are over. */
const tomorrowSeconds = nowSeconds() + 86_400;

describe("a token", () => {
	test.each([
		...["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
		...["ES256", "ES384", "ES512", "EdDSA", "Ed25519"],
	])("by %s names the user, for as long as it holds", async (alg) => {
		const { issuer, tokens } = await started();
		await issuer.rotate({ alg });
		const late = await opened(issuer.url);
		const exp = nowSeconds() + 100;
		expect(await late.verify(await issuer.sign({ exp }))).toEqual({
			principal: "User:alice",
			expiresMs: (exp + 30) * 1_000,
		});
		// Read before there was such a key.
		await expect(tokens.verify(await issuer.sign({ exp }))).rejects.toMatchObject({
			reason: "signature",
		});
	});

	test.each<[string, string, Record<string, unknown>]>([
		["whose time is over", "expired", { exp: nowSeconds() - 40 }],
		["whose time has not come", "claims", { nbf: tomorrowSeconds, exp: tomorrowSeconds + 100 }],
		["that never ends", "claims", { exp: undefined }],
		["of no time", "claims", { iat: undefined }],
		["for others", "claims", { aud: "somebody" }],
		["for nobody", "claims", { aud: undefined }],
		["of others", "claims", { iss: "https://other.example" }],
		["of nobody", "claims", { iss: undefined }],
		["without a user", "claims", { sub: undefined }],
		["of a user without a name", "claims", { sub: " " }],
		["of a user who is a number", "claims", { sub: 7 }],
		["of a user with a long name", "claims", { sub: "x".repeat(1_025) }],
	])("%s is refused", async (_, reason, claims) => {
		const { issuer, tokens } = await started();
		await expect(tokens.verify(await issuer.sign(claims))).rejects.toMatchObject({
			code: "NOT_AUTHENTICATED",
			reason,
		});
	});

	test("is believed while clocks may differ", async () => {
		const { issuer, tokens } = await started();
		const { expiresMs } = await tokens.verify(await issuer.sign({ exp: nowSeconds() - 10 }));
		expect(expiresMs).toBeGreaterThan(Date.now());
	});

	test("that ends when no date can tell is believed until the last one", async () => {
		const { issuer, tokens } = await started();
		const { expiresMs } = await tokens.verify(await issuer.sign({ exp: 1e300 }));
		expect(expiresMs).toBe(8_640_000_000_000_000);
	});

	test("names the user by another claim, and has to have what is expected", async () => {
		const { issuer, tokens } = await started({
			saslOauthbearerSubClaimName: "client_id",
			saslOauthbearerScopeClaimName: "scp",
			saslOauthbearerExpectedScope: ["kafka", "write"],
		});
		const verify = async (scp: unknown) =>
			tokens.verify(await issuer.sign({ client_id: "billing", scp }));
		expect((await verify("read write kafka")).principal).toBe("User:billing");
		expect((await verify(["write", "kafka"])).principal).toBe("User:billing");
		for (const scp of ["kafka writes", ["kafka"], undefined, 7]) {
			await expect(verify(scp)).rejects.toMatchObject({ reason: "claims" });
		}
	});

	test("for an audience is refused where none is expected, and others are not", async () => {
		const { issuer, tokens } = await started({
			saslOauthbearerExpectedAudience: [],
			saslOauthbearerExpectedIssuer: "",
		});
		await expect(tokens.verify(await issuer.sign())).rejects.toMatchObject({ reason: "claims" });
		const token = await issuer.sign({ aud: undefined, iss: undefined });
		expect((await tokens.verify(token)).principal).toBe("User:alice");
	});

	test("that is none, or too long, is refused", async () => {
		const { tokens } = await started();
		for (const token of ["", "a", "a.b.c", "..", "x".repeat(LIMITS.credentialBytesMax + 1)]) {
			await expect(tokens.verify(token)).rejects.toMatchObject({ reason: "malformed" });
		}
	});

	test("that is not signed, or with what everybody knows, is refused", async () => {
		const { issuer, tokens } = await started();
		const claims = { iss: ISSUER, aud: AUDIENCE, sub: "alice", iat: nowSeconds() };
		const exp = nowSeconds() + 100;
		const unsigned = new UnsecuredJWT({ ...claims, exp }).encode();
		const { keys } = JSON.parse(issuer.keySet) as { keys: [{ kid: string; n: string }] };
		const [{ kid, n }] = keys;
		const hmacs = [n, JSON.stringify(keys[0]), issuer.keySet].map((secret) =>
			new SignJWT({ ...claims, exp })
				.setProtectedHeader({ alg: "HS256", kid })
				.sign(Buffer.from(secret)),
		);
		for (const token of [unsigned, ...(await Promise.all(hmacs))]) {
			await expect(tokens.verify(token)).rejects.toMatchObject({
				reason: expect.stringMatching(/signature|malformed/),
			});
		}
	});

	test("by a key of somebody else with a known name is refused", async () => {
		const { issuer, tokens } = await started();
		const { keys } = JSON.parse(issuer.keySet) as { keys: [{ kid: string }] };
		await issuer.rotate({ isHidden: true });
		const token = await issuer.sign({}, { kid: keys[0].kid });
		await expect(tokens.verify(token)).rejects.toMatchObject({ reason: "signature" });
	});
});

describe("keys", () => {
	const later = (ms: number) => vi.setSystemTime(Date.now() + ms);

	test("that are new are read when a token names them, but not at once again", async () => {
		vi.useFakeTimers({ toFake: ["Date"] });
		const { issuer, tokens } = await started();
		await issuer.rotate();
		await expect(tokens.verify(await issuer.sign())).rejects.toMatchObject({ reason: "signature" });
		expect(issuer.requestCount).toBe(1);
		later(31_000);
		expect((await tokens.verify(await issuer.sign())).principal).toBe("User:alice");
		await tokens.verify(await issuer.sign());
		expect(issuer.requestCount).toBe(2);
		await issuer.rotate({ isHidden: true });
		later(31_000);
		const token = await issuer.sign();
		const asked = Array.from({ length: 20 }, () => tokens.verify(token));
		const answers = await Promise.allSettled(asked);
		expect(answers.every(({ status }) => status === "rejected")).toBe(true);
		expect(issuer.requestCount).toBe(3);
	});

	test("that cannot be had leave those before, and are not asked for all the time", async () => {
		vi.useFakeTimers({ toFake: ["Date"] });
		const { issuer, tokens } = await started({}, { ...systemClock, monotonicMs: () => 0 });
		const known = await issuer.sign();
		await issuer.rotate();
		issuer.answer = { status: 503, body: "" };
		later(31_000);
		const unknown = await issuer.sign();
		for (let count = 0; count < 5; count++) {
			await expect(tokens.verify(unknown)).rejects.toMatchObject({ reason: "keys" });
		}
		expect(issuer.requestCount).toBe(2);
		expect((await tokens.verify(known)).principal).toBe("User:alice");
	});

	test.each([
		["no JSON", 200, "<html>"],
		["no key set", 200, "[]"],
		["more than a key set has", 200, `{"keys":[],"x":"${"x".repeat(LIMITS.jwksBytesMax)}"}`],
		["elsewhere", 302, ""],
	])("that are %s are reported at the start, which goes on", async (_, status, body) => {
		const issuer = await TokenIssuer.start();
		issuer.answer = { status, body };
		const tokens = await opened(issuer.url);
		expect(log.warn).toHaveBeenCalledTimes(1);
		await expect(tokens.verify(await issuer.sign())).rejects.toMatchObject({ reason: "keys" });
	});

	test("are not waited for longer than it makes sense", async () => {
		const server = createServer(() => undefined).listen(0, "127.0.0.1");
		await once(server, "listening");
		onTestFinished(() => {
			server.closeAllConnections();
			server.close();
		});
		const timeout = vi.spyOn(AbortSignal, "timeout").mockReturnValue(AbortSignal.abort());
		await opened(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
		expect(timeout).toHaveBeenCalledWith(LIMITS.jwksMsMax);
		expect(log.warn).toHaveBeenCalledTimes(1);
	});

	test("come from a file, too, also when it has changed", async () => {
		vi.useFakeTimers({ toFake: ["Date"] });
		const issuer = await TokenIssuer.start();
		const file = join(temporaryDirectory(), "keys.json");
		writeFileSync(file, issuer.keySet);
		const tokens = await opened(pathToFileURL(file).href);
		expect((await tokens.verify(await issuer.sign())).principal).toBe("User:alice");
		await issuer.rotate();
		writeFileSync(file, issuer.keySet);
		later(31_000);
		expect((await tokens.verify(await issuer.sign())).principal).toBe("User:alice");
		expect(issuer.requestCount).toBe(0);
	});

	test("are read again now and then", async () => {
		const { issuer } = await started({ saslOauthbearerJwksEndpointRefreshMs: 1 });
		await expect.poll(() => issuer.requestCount).toBeGreaterThan(2);
	});
});
