import { describe, expect, test } from "vitest";
import type { HttpHead, HttpResponse } from "../../src/http/http.ts";
import { healthRoutes, type Route, router } from "../../src/http/router.ts";
import { ANONYMOUS } from "../../src/security/principal.ts";

const head = (method: string, path: string): HttpHead => ({
	method,
	path,
	query: "",
	remoteAddress: "127.0.0.1",
	principal: ANONYMOUS,
	header: () => "",
});

const { signal } = new AbortController();
const unread = {
	body: new Uint8Array(),
	identity: { principal: ANONYMOUS },
	aborted: signal,
	stopping: signal,
};

const route = (method: Route["method"], path: string, body: string): Route => ({
	method,
	path,
	answer: () => ({ status: 200, body }),
});

const routes = [route("GET", "/a", "read"), route("PUT", "/a", "set"), route("POST", "/b", "done")];

async function answer(method: string, path: string): Promise<HttpResponse> {
	const found = router(routes)(head(method, path));
	if ("status" in found) return found;
	return found.answer({ ...head(method, path), ...unread });
}

describe("the router", () => {
	test("finds who answers a method of a path; HEAD as GET", async () => {
		expect((await answer("GET", "/a")).body).toBe("read");
		expect((await answer("HEAD", "/a")).body).toBe("read");
		expect((await answer("PUT", "/a")).body).toBe("set");
		expect((await answer("POST", "/b")).body).toBe("done");
	});

	test("a path takes 405 with what it allows to other methods", async () => {
		const refused = await answer("DELETE", "/a");
		expect(refused.status).toBe(405);
		expect(refused.headers).toMatchObject({ allow: "GET, HEAD, PUT" });
		expect((await answer("HEAD", "/b")).headers).toMatchObject({ allow: "POST" });
	});

	test("whole paths count, and elsewhere there is a problem that programs can read", async () => {
		for (const path of ["/", "/a/", "/A", "/a/b"]) {
			const refused = await answer("GET", path);
			expect(refused.headers).toMatchObject({ "content-type": "application/problem+json" });
			expect(JSON.parse(refused.body as string)).toEqual({
				type: "about:blank",
				title: "Not Found",
				status: 404,
				detail: "there is nothing at this path",
			});
		}
	});
});

test("/ready follows the broker, /live does not", async () => {
	let isReady = false;
	const health = router(healthRoutes(() => isReady));
	const status = async (path: string) => {
		const found = health(head("GET", path));
		if ("status" in found) return found.status;
		return (await found.answer({ ...head("GET", path), ...unread })).status;
	};
	expect([await status("/live"), await status("/ready")]).toEqual([200, 503]);
	isReady = true;
	expect([await status("/live"), await status("/ready")]).toEqual([200, 200]);
});
