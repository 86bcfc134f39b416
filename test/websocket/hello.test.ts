import { describe, expect, onTestFinished, test } from "vitest";

import { systemClock } from "../../src/clock.ts";
import { MillraceError } from "../../src/errors.ts";
import { LIMITS } from "../../src/limits.ts";
import { serve, TRANSPORTS } from "./harness.ts";
import { type Frame, RawClient } from "./raw-client.ts";

describe.each(TRANSPORTS)("hello over %s", (transport) => {
	const at = serve(transport);

	test("announces the cluster, the limits and a producer identity of its own", async () => {
		const client = await RawClient.open(at.url);
		const answer = await client.answer(1, 7, { client: "test/1" });
		expect(client.socket.protocol).toBe("millrace.v1");
		expect(answer).toMatchObject({
			broker: "millrace/test",
			cluster_id: at.storage.clusterId,
			producer: { epoch: 0 },
			limits: {
				frame_bytes_max: LIMITS.frameBytesMax,
				in_flight_bytes_max: LIMITS.inFlightBytesMax,
				credit_bytes_max: LIMITS.creditBytesMax,
				subscriptions_max: LIMITS.subscriptionsMax,
			},
		});
		expect(answer).not.toHaveProperty("auth_expires_ms");
		const other = await (await RawClient.open(at.url)).answer(1, 7, { client: "test/1" });
		expect(other.producer).not.toEqual(answer.producer);
	});

	test("carries a producer identity on", async () => {
		const first = await RawClient.open(at.url);
		const { producer } = await first.answer(1, 1, { client: "test" });
		first.close();
		const second = await RawClient.open(at.url);
		expect(await second.answer(1, 1, { client: "test", producer })).toMatchObject({ producer });
	});

	test("an identity that nobody was given is refused", async () => {
		const client = await RawClient.open(at.url);
		const { producer } = await client.answer(1, 1, { client: "test" });
		const { id } = producer as { id: number };
		// The next to be handed out, one that is reserved for later, and ones that are not even that.
		const ids = [id + 1, id + 500, at.storage.producerIdsEnd, Number.MAX_SAFE_INTEGER];
		for (const unknown of ids) {
			const liar = await RawClient.open(at.url);
			const options = { client: "test", producer: { id: unknown, epoch: 0 } };
			expect(await liar.error(1, 1, options)).toBe(59);
			expect(await liar.closed()).toBe(4400);
		}
		const next = await RawClient.open(at.url);
		expect(await next.answer(1, 1, { client: "test" })).toMatchObject({
			producer: { id: id + 1, epoch: 0 },
		});
	});

	test("a request without sub-protocol is served, one for others only is refused", async () => {
		const client = await RawClient.open(at.url, {}, []);
		await client.answer(1, 1, { client: "test" });
		await expect(RawClient.open(at.url, {}, ["mqtt"])).rejects.toThrow("400");
	});

	test.each([
		["another operation first", [9, 1]],
		["an unknown operation first", [99, 1]],
		["credit first", [5, 1, 1, 1]],
	])("%s is closed with 4400", async (_, frame) => {
		const client = await RawClient.open(at.url);
		client.send(...frame);
		const error = await client.take(([operation]) => operation === 130);
		expect(error.slice(0, 3)).toEqual([130, null, 1000]);
		expect(await client.closed()).toBe(4400);
	});

	test.each([
		["without a client", {}],
		["with a client that is no string", { client: 5 }],
		["with a name that is too long", { client: "x".repeat(256) }],
		["with a producer that is no identity", { client: "test", producer: { id: -1, epoch: 0 } }],
		["with an epoch out of bounds", { client: "test", producer: { id: 1, epoch: 32_768 } }],
		["with an epoch below zero", { client: "test", producer: { id: 0, epoch: -1 } }],
	])("a hello %s is an error and a close", async (_, options) => {
		const client = await RawClient.open(at.url);
		expect(await client.error(1, 1, options)).toBe(1015);
		expect(await client.closed()).toBe(4400);
	});

	test("a hello has room for the longest credentials, and is closed with 1009 beyond", async () => {
		const longest = "x".repeat(LIMITS.credentialBytesMax);
		const auth = { scheme: "password", user: longest, password: longest };
		const client = await RawClient.open(at.url);
		await client.answer(1, 1, { client: "test", auth });
		const longer = await RawClient.open(at.url);
		longer.send(1, 1, { client: "test", auth, more: longest, still_more: longest });
		expect(await longer.closed()).toBe(1009);
	});

	test("a second hello is an error and the connection goes on", async () => {
		const client = await at.client();
		expect(await client.error(1, 2, { client: "test" })).toBe(42);
		await client.ping();
	});
});

describe.each(TRANSPORTS)("a hello that does not come, over %s", (transport) => {
	let nowMs = 0;
	const clock = { ...systemClock, monotonicMs: () => nowMs };
	const at = serve(transport, { clock });

	test("is closed with 4408 after five seconds, and not before", async () => {
		const late = await RawClient.open(at.url);
		const greeted = await at.client();
		nowMs = LIMITS.helloMsMax - 1;
		await new Promise((resolve) => setTimeout(resolve, 700));
		expect(late.closeCode).toBeUndefined();
		nowMs = LIMITS.helloMsMax;
		expect(await late.closed()).toBe(4408);
		await greeted.ping();
	});
});

describe.each(TRANSPORTS)("authentication over %s", (transport) => {
	let expiresMs = 0;
	let nowMs = Date.now();
	const asked: (string | undefined)[] = [];
	const leaving: (AbortSignal | undefined)[] = [];
	/** Nobody is told before whether they are believed. */
	let decided = Promise.resolve();
	const at = serve(transport, {
		clock: { ...systemClock, wallMs: () => nowMs },
		authenticate: async (credentials, _peer, { stays, left } = {}) => {
			asked.push(stays);
			leaving.push(left?.());
			await decided;
			if (credentials?.token === "later") throw new MillraceError("THROTTLING_QUOTA_EXCEEDED");
			if (credentials?.token === "elsewhere") throw new MillraceError("SHUTTING_DOWN");
			if (credentials?.token !== "secret") throw new MillraceError("NOT_AUTHENTICATED");
			return { principal: "User:tester", expiresMs };
		},
	});
	const good = { scheme: "token", token: "secret" };

	/** Has whoever says who they are wait until the function is called that is returned. */
	function hold(): () => void {
		let decide = (): void => undefined;
		decided = new Promise((resolve) => {
			decide = resolve;
		});
		onTestFinished(() => decide());
		return () => decide();
	}

	test("a frame before hello's answer is closed with 4400", async () => {
		const client = await RawClient.open(at.url);
		hold();
		client.send(1, 1, { client: "test", auth: good });
		client.send(9, 2);
		expect(await client.closed()).toBe(4400);
	});

	test("who leaves before hello's answer, or that of auth, is said to have left", async () => {
		expiresMs = nowMs + 1_000_000;
		const renewing = await RawClient.open(at.url);
		await renewing.answer(1, 1, { client: "test", auth: good });
		const client = await RawClient.open(at.url);
		hold();
		leaving.length = 0;
		client.send(1, 1, { client: "test", auth: good });
		renewing.send(8, 2, good);
		await expect.poll(() => leaving.map((left) => left?.aborted)).toEqual([false, false]);
		client.close();
		renewing.close();
		await expect.poll(() => leaving.map((left) => left?.aborted)).toEqual([true, true]);
	});

	test("wrong and missing credentials are closed with 4401", async () => {
		for (const auth of [null, { scheme: "token", token: "wrong" }]) {
			const client = await RawClient.open(at.url);
			expect(await client.error(1, 1, { client: "test", auth })).toBe(1003);
			expect(await client.closed()).toBe(4401);
		}
	});

	test.each([
		["later", 89, 4429],
		["elsewhere", 1009, 1001],
	])("who was not looked at may try again %s", async (token, error, closeCode) => {
		const client = await RawClient.open(at.url);
		const auth = { scheme: "token", token };
		expect(await client.error(1, 1, { client: "test", auth })).toBe(error);
		expect(await client.closed()).toBe(closeCode);
	});

	test("a renewal that was not looked at may be tried again on the connection", async () => {
		expiresMs = nowMs + 1_000_000;
		const client = await RawClient.open(at.url);
		await client.answer(1, 1, { client: "test", auth: good });
		client.send(8, 2, { scheme: "token", token: "later" });
		const [, , code, , details] = await client.reply(2);
		const { retry_after_ms: ms } = details as { retry_after_ms: number };
		expect(code).toBe(89);
		expect(ms).toBeGreaterThanOrEqual(500);
		expect(ms).toBeLessThanOrEqual(1_500);
		await client.ping();
		expect(await client.answer(8, 3, good)).toMatchObject({ auth_expires_ms: expiresMs });
		nowMs = expiresMs;
		expect(await client.closed()).toBe(4401);
	});

	test("a renewal at a broker that stops ends the connection", async () => {
		expiresMs = nowMs + 1_000_000;
		const client = await RawClient.open(at.url);
		await client.answer(1, 1, { client: "test", auth: good });
		expect(await client.error(8, 2, { scheme: "token", token: "elsewhere" })).toBe(1009);
		expect(await client.closed()).toBe(1001);
	});

	test("credentials that run out are announced, can be renewed, and end it", async () => {
		expiresMs = nowMs + 2_500;
		const client = await RawClient.open(at.url);
		const answer = await client.answer(1, 1, { client: "test", auth: good });
		expect(answer.auth_expires_ms).toBe(expiresMs);
		const isNotice = ([operation]: Frame) => operation === 136;
		// In the last third of so short a life, and not before.
		nowMs = expiresMs - 900;
		await new Promise((resolve) => setTimeout(resolve, 700));
		expect(client.frames.some(isNotice)).toBe(false);
		nowMs = expiresMs - 800;
		const notice = await client.take(isNotice);
		expect(notice).toMatchObject([136, "auth_expiring", { auth_expires_ms: expiresMs }]);
		expiresMs = nowMs + 1_000;
		expect(await client.answer(8, 2, good)).toMatchObject({ auth_expires_ms: expiresMs });
		nowMs = expiresMs - 1;
		await client.take(isNotice);
		expect(client.closeCode).toBeUndefined();
		nowMs = expiresMs;
		const told = await client.take(([operation, id]) => operation === 130 && id === null);
		expect(told.slice(2, 4)).toEqual([
			1003,
			"credentials are missing, wrong or expired: the credentials have run out",
		]);
		expect(await client.closed()).toBe(4401);
	});

	test("one renewal at a time, and nobody becomes somebody else", async () => {
		expiresMs = nowMs + 1_000_000;
		const client = await RawClient.open(at.url);
		await client.answer(1, 1, { client: "test", auth: good });
		const decide = hold();
		client.send(8, 2, good);
		expect(await client.error(8, 3, good)).toBe(42);
		decide();
		await client.reply(2);
		expect(asked.at(-1)).toBe("User:tester");
		expect(await client.answer(8, 4, good)).toMatchObject({ auth_expires_ms: expiresMs });
	});

	test("renewal with wrong credentials is an error, then a close", async () => {
		expiresMs = nowMs + 1_000_000;
		const client = await RawClient.open(at.url);
		await client.answer(1, 1, { client: "test", auth: good });
		expect(await client.error(8, 2, { scheme: "token", token: "wrong" })).toBe(1003);
		expect(await client.closed()).toBe(4401);
	});
});
