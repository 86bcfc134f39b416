import { expect, test } from "vitest";

import { LIMITS } from "../../src/limits.ts";
import { TokenCookie } from "../../src/websocket/token-cookie.ts";

const ORIGIN = "https://app.example";
const cookie = new TokenCookie("session", [ORIGIN, "http://other.example:81"]);

test.each([
	["session=a.b.c", "a.b.c"],
	["theme=dark; session=a.b.c; lang=en", "a.b.c"],
	["theme=dark;session=a==", "a=="],
	["Session=x; session=a", "a"],
	["", undefined],
	["session", undefined],
	["session=", undefined],
	["xsession=a", undefined],
	["theme=session=a", undefined],
	["session=a; session=b", undefined],
	["session=a; session=a", undefined],
	[`session=${"a".repeat(LIMITS.credentialBytesMax + 1)}`, undefined],
])("of the cookies %j the token is %j", (cookies, token) => {
	expect(cookie.tokenOf(ORIGIN, cookies)).toBe(token);
});

test("it counts from listed origins alone", () => {
	for (const origin of [ORIGIN, "HTTPS://APP.example", "http://other.example:81"]) {
		expect(cookie.tokenOf(origin, "session=a")).toBe("a");
	}
	for (const origin of [
		"",
		"null",
		"http://app.example",
		"https://app.example:8443",
		"https://app.example.evil.example",
		"http://localhost",
		"http://127.0.0.1",
	]) {
		expect(cookie.tokenOf(origin, "session=a")).toBeUndefined();
	}
});
