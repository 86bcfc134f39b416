import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { CALL_ACCESS } from "../../src/calls/access.ts";
import { codeName, MillraceError } from "../../src/errors.ts";
import { CLOSE_CODES } from "../../src/protocol/close-codes.ts";
import { CODES, type CodeName } from "../../src/protocol/codes.ts";
import { FEATURES, OPERATION } from "../../src/protocol/operations.ts";

const path = (relative: string) => fileURLToPath(new URL(`../../${relative}`, import.meta.url));
const specification = readFileSync(path("docs/websocket-protocol.md"), "utf8");

test("generating changes nothing", () => {
	const { status, stderr } = spawnSync(process.execPath, [path("native/generate.mjs"), "--check"]);
	expect(stderr.toString()).toBe("");
	expect(status).toBe(0);
});

test("numbers of errors and close codes are unique", () => {
	for (const table of [CODES, CLOSE_CODES]) {
		const numbers = Object.values(table).map(({ code }) => code);
		expect(new Set(numbers).size).toBe(numbers.length);
	}
});

test("every operation, feature and call is specified", () => {
	for (const operation of Object.values(OPERATION)) {
		expect(specification).toMatch(new RegExp(`\\| ${operation} \\|`));
	}
	const names = [...FEATURES, ...Object.keys(CALL_ACCESS)];
	for (const name of names) expect(specification).toContain(`\`${name}\``);
});

test("every error carries its row of the table", () => {
	for (const name of Object.keys(CODES) as CodeName[]) {
		const error = new MillraceError(name, "particular", { topic: "t", retryAfterMs: 5 });
		const { code, retriable, message } = CODES[name];
		expect(error).toMatchObject({
			code: name,
			number: code,
			retriable,
			topic: "t",
			retryAfterMs: 5,
		});
		expect(error.message).toBe(`${message}: particular`);
		expect(codeName(code)).toBe(name);
	}
	expect(codeName(31_999)).toBe("UNKNOWN_SERVER_ERROR");
});
