import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { HttpHead, HttpResponse } from "../../src/http/http.ts";
import { type Route, router } from "../../src/http/router.ts";
import { HttpService } from "../../src/http/service.ts";
import { LIMITS } from "../../src/limits.ts";
import { HttpFigures, type RouteFigures } from "../../src/monitoring/http-figures.ts";
import { ANONYMOUS } from "../../src/security/principal.ts";

const BODY_BYTES_MAX = LIMITS.httpBodyBytesMax;

beforeEach(() => {
	vi.useFakeTimers();
});

afterEach(() => {
	vi.useRealTimers();
});

const OPEN = {
	origins: { allowsHost: () => true, allowsOrigin: () => true },
	httpRequests: new HttpFigures(),
};

/** `others` are further routes. */
function service(others: readonly Partial<Route>[] = []) {
	const errors: unknown[] = [];
	const http = router([
		...others.map((route) => ({ ...POST, path: "/other", answer: unasked, ...route })),
		{
			method: "POST",
			path: "/bytes",
			bodyBytesMax: BODY_BYTES_MAX,
			answer: ({ body }) => ({ status: 200, body: `${body.length}` }),
		},
	]);
	return {
		errors,
		served: new HttpService({ ...OPEN, http, onError: (error) => errors.push(error) }),
	};
}

const head: HttpHead = {
	method: "POST",
	path: "/bytes",
	query: "",
	remoteAddress: "127.0.0.1",
	principal: ANONYMOUS,
	header: (name) => (name === "transfer-encoding" ? "chunked" : ""),
};

const POST = { method: "POST", bodyBytesMax: BODY_BYTES_MAX } as const;
const unasked = () => {
	throw new Error("nobody is to be answered");
};

type Take = (piece: Uint8Array, isLast: boolean) => void;

/** A request whose body the test sends. */
function begin(served: HttpService, path = "/bytes") {
	let take: Take = () => undefined;
	const read = (taken: Take) => {
		take = taken;
	};
	const answer = served.answer({ ...head, path }, { read }, new AbortController().signal);
	return { answer, send: (bytes: number, isLast: boolean) => take(new Uint8Array(bytes), isLast) };
}

test("a body that does not come in time is given up; what comes later is passed over", async () => {
	const { served, errors } = service();
	const { answer, send } = begin(served);
	send(4, false);
	vi.advanceTimersByTime(LIMITS.httpBodyMsMax - 1);
	send(4, false);
	vi.advanceTimersByTime(1);
	expect(await answer).toMatchObject({ status: 408, isLast: true });
	send(4, true);
	expect(vi.getTimerCount()).toBe(0);
	expect(errors).toEqual([]);
});

test("all bodies together are bounded, and there is room again when they are done", async () => {
	const { served } = service();
	const most = LIMITS.httpBodiesBytesMax / BODY_BYTES_MAX;
	const requests = Array.from({ length: most }, () => begin(served));
	for (const { send } of requests) send(BODY_BYTES_MAX, false);
	const refused = begin(served);
	refused.send(1, true);
	expect(await refused.answer).toMatchObject({ status: 503, isLast: true });
	for (const { send } of requests) send(0, true);
	for (const { answer } of requests) {
		expect(await answer).toMatchObject({ status: 200, body: `${BODY_BYTES_MAX}` });
	}
	const another = begin(served);
	another.send(1, true);
	expect(await another.answer).toMatchObject({ status: 200, body: "1" });
});

test("a body counts until its request is answered", async () => {
	let work = (): void => undefined;
	const worked = new Promise<void>((resolve) => {
		work = resolve;
	});
	const { served } = service([{ answer: () => worked.then(() => ({ status: 200 })) }]);
	const most = LIMITS.httpBodiesBytesMax / BODY_BYTES_MAX;
	const requests = Array.from({ length: most }, () => begin(served, "/other"));
	for (const { send } of requests) send(BODY_BYTES_MAX, true);
	const refused = begin(served);
	refused.send(1, true);
	expect(await refused.answer).toMatchObject({ status: 503 });
	work();
	for (const { answer } of requests) expect(await answer).toMatchObject({ status: 200 });
	const another = begin(served);
	another.send(1, true);
	expect(await another.answer).toMatchObject({ status: 200 });
});

describe("bodies of those who are not known yet", () => {
	const most = LIMITS.httpBodiesBytesMax / BODY_BYTES_MAX;

	/** The login of the first one at `/other` is over when `knows` is called, of others never. */
	function guarded() {
		let knows = (): void => undefined;
		const known = new Promise<void>((resolve) => {
			knows = resolve;
		});
		const logins = [known];
		const { served } = service([
			{
				identify: async () => {
					await (logins.shift() ?? new Promise(() => undefined));
					return { principal: ANONYMOUS };
				},
				answer: ({ body }) => ({ status: 200, body: `${body.length}` }),
			},
		]);
		return { served, knows };
	}

	test("make room for those of others, however many wait", async () => {
		const { served } = guarded();
		for (let count = 0; count < 2 * most; count++) {
			begin(served, "/other").send(BODY_BYTES_MAX, count % 2 === 0);
		}
		const others = Array.from({ length: most }, () => begin(served));
		for (const { send } of others) send(BODY_BYTES_MAX, true);
		for (const { answer } of others) expect(await answer).toMatchObject({ status: 200 });
	});

	test("stay while there is room, and the oldest go first", async () => {
		const { served, knows } = guarded();
		const begun = begin(served, "/other");
		begun.send(10, false);
		for (let count = 1; count < most; count++) {
			begin(served, "/other").send(BODY_BYTES_MAX, false);
		}
		knows();
		await vi.advanceTimersByTimeAsync(0);
		// It is known whose it is now: the next ones go instead.
		for (let count = 0; count < most; count++) {
			begin(served, "/other").send(BODY_BYTES_MAX, true);
		}
		begun.send(5, true);
		expect(await begun.answer).toMatchObject({ status: 200, body: "15" });
	});

	test("that had to go are told so when it is known whose they were", async () => {
		const { served, knows } = guarded();
		const begun = begin(served, "/other");
		begun.send(BODY_BYTES_MAX, true);
		for (let count = 0; count < most; count++) {
			begin(served, "/other").send(BODY_BYTES_MAX, true);
		}
		knows();
		expect(await begun.answer).toMatchObject({ status: 503, headers: { "retry-after": "1" } });
	});
});

test("answers that nobody reads are bounded, short ones apart", async () => {
	const http = router([
		{
			method: "GET",
			path: "/{bytes}",
			answer: ({ parameters }) => ({
				status: 200,
				body: new Uint8Array(Number(parameters.get("bytes"))),
			}),
		},
	]);
	const served = new HttpService({ ...OPEN, http, onError: () => undefined });
	const ask = (bytes: number) => {
		const asked = { ...head, method: "GET", path: `/${bytes}`, header: () => "" };
		return served.answer(asked, { read: () => undefined }, new AbortController().signal);
	};
	const unread = await ask(LIMITS.httpAnswersBytesMax);
	expect(await ask(10_000)).toMatchObject({ status: 503, headers: { "retry-after": "1" } });
	expect((await ask(100)).status).toBe(200);
	unread.onDone?.();
	expect((await ask(10_000)).status).toBe(200);
});

test("a stop refuses what comes, and waits for what is under way", async () => {
	const { served } = service([
		{
			answer: ({ stopping }) =>
				new Promise((resolve) => {
					stopping.addEventListener("abort", () => resolve({ status: 200 }));
				}),
		},
	]);
	const waiting = begin(served, "/other");
	waiting.send(1, true);
	await vi.advanceTimersByTimeAsync(0);
	served.stop();
	const late = await begin(served).answer;
	expect(late).toMatchObject({ status: 503, headers: { "retry-after": "5" }, isLast: true });
	expect(served.underWayCount).toBe(2);
	late.onDone?.();
	const { status, onDone } = await waiting.answer;
	expect(status).toBe(200);
	expect(served.underWayCount).toBe(1);
	onDone?.();
	expect(served.underWayCount).toBe(0);
});

test("the memory of a piece may be used again at once", async () => {
	const http = router([
		{
			method: "POST",
			path: "/bytes",
			bodyBytesMax: 10,
			answer: ({ body }) => ({ status: 200, body }),
		},
	]);
	const served = new HttpService({ ...OPEN, http, onError: () => undefined });
	const read = (take: Take) => {
		const piece = Buffer.from("one");
		take(piece, false);
		piece.write("two");
		take(piece, true);
	};
	const { body } = await served.answer(head, { read }, new AbortController().signal);
	expect(Buffer.from(body as Uint8Array).toString()).toBe("onetwo");
});

describe("what is counted", () => {
	const answers: Record<string, (request: { body: Uint8Array }) => HttpResponse> = {
		GET: () => ({ status: 200, body: "größer" }),
		POST: ({ body }) => ({ status: 201, body }),
		DELETE: () => {
			throw new Error("a bug");
		},
	};
	const routes = Object.entries(answers).map(([method, answer]) => ({
		method: method as "GET",
		path: "/things/{thing}",
		...(method === "POST" ? { bodyBytesMax: 10 } : {}),
		answer,
	}));

	async function counted(method: string, path: string, body = "", allowsHost = true) {
		const httpRequests = new HttpFigures();
		const origins = { allowsHost: () => allowsHost, allowsOrigin: () => true };
		const onError = () => undefined;
		const served = new HttpService({ origins, httpRequests, http: router(routes), onError });
		const header = (name: string) =>
			name === "content-length" && body !== "" ? `${Buffer.byteLength(body)}` : "";
		const read = (take: Take) => take(Buffer.from(body), true);
		const asked = { ...head, method, path, header };
		const { status } = await served.answer(asked, { read }, new AbortController().signal);
		const [figures, ...more] = httpRequests.routes;
		expect(more).toEqual([]);
		const { latencies, ...rest } = figures as RouteFigures;
		expect(latencies.counts.reduce((sum, count) => sum + count)).toBe(1);
		return { ...rest, status };
	}

	const of = (method: string, status: number, receivedBytes = 0, sentBytes?: number) => ({
		route: "/things/{thing}",
		method,
		status,
		statuses: new Map([[`${Math.floor(status / 100)}xx`, 1]]),
		receivedBytes,
		sentBytes: sentBytes ?? expect.any(Number),
	});

	test("is a request by its route, with the bytes of its body and of its answer", async () => {
		expect(await counted("GET", "/things/a")).toEqual(of("GET", 200, 0, 8));
		expect(await counted("HEAD", "/things/b")).toEqual(of("HEAD", 200, 0, 0));
		expect(await counted("POST", "/things/c", "body")).toEqual(of("POST", 201, 4, 4));
	});

	test("is what is refused and what fails, too", async () => {
		expect(await counted("DELETE", "/things/a")).toEqual(of("DELETE", 500));
		expect(await counted("GET", "/things/%ff")).toEqual(of("GET", 400));
		expect(await counted("POST", "/things/a", "x".repeat(11))).toEqual(of("POST", 413));
	});

	test("is together what has no route, and what a client makes up is not told of", async () => {
		const other = { ...of("GET", 404), route: "(other)" };
		expect(await counted("GET", "/made/up")).toEqual(other);
		const forbidden = { ...of("GET", 403), route: "(other)" };
		expect(await counted("GET", "/things/a", "", false)).toEqual(forbidden);
		expect(await counted("BREW", "/made/up")).toEqual({ ...other, method: "(other)" });
	});

	test("is together of a route what methods it does not have", async () => {
		for (const method of ["PATCH", "PUT", "OPTIONS", "BREW"]) {
			expect(await counted(method, "/things/a")).toEqual(of("(other)", 405));
		}
	});

	test("is what has come of a body that is refused", async () => {
		const httpRequests = new HttpFigures();
		const post = { method: "POST", path: "/bytes", answer: () => ({ status: 200 }) } as const;
		const http = router([{ ...post, bodyBytesMax: BODY_BYTES_MAX }]);
		const served = new HttpService({ ...OPEN, httpRequests, http, onError: () => undefined });
		const received = () => [...httpRequests.routes].map(({ receivedBytes }) => receivedBytes);

		const large = begin(served);
		large.send(BODY_BYTES_MAX, false);
		large.send(1, true);
		expect(await large.answer).toMatchObject({ status: 413 });
		expect(received()).toEqual([BODY_BYTES_MAX + 1]);

		const slow = begin(served);
		slow.send(5, false);
		vi.advanceTimersByTime(LIMITS.httpBodyMsMax);
		slow.send(100, true);
		expect(await slow.answer).toMatchObject({ status: 408 });
		expect(received()).toEqual([BODY_BYTES_MAX + 6]);

		const most = LIMITS.httpBodiesBytesMax / BODY_BYTES_MAX;
		for (let count = 0; count < most; count++) begin(served).send(BODY_BYTES_MAX, false);
		const tooMany = begin(served);
		tooMany.send(7, true);
		expect(await tooMany.answer).toMatchObject({ status: 503 });
		expect(received()).toEqual([BODY_BYTES_MAX + 13]);
	});
});
