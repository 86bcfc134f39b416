/** The commands of docs/http-api.md, as they stand, beside a broker that runs. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { expect, test } from "vitest";

import { LIMITS } from "../../../src/limits.ts";
import { BrokerProcess } from "../../broker-process.ts";

const text = readFileSync(new URL("../../../docs/http-api.md", import.meta.url), "utf8");

function blocks(language: string): string[] {
	const found = text.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, "g"));
	return [...found].map(([, block]) => block as string);
}

/** What differs from run to run. */
const settled = (json: string) => json.replaceAll(/"(append_time|timestamp)_ms":\d+/g, '"$1_ms":0');

test("every command of the page does what it says", async () => {
	const broker = await BrokerProcess.start();
	const env = { ...process.env, MILLRACE: broker.url.replace(/^ws/, "http") };
	const said: string[] = [];
	for (const command of blocks("sh")) {
		const { stdout } = await promisify(execFile)("sh", ["-euc", command], { env });
		said.push(stdout);
	}
	const answers = blocks("json").map((block) => settled(block.trim()));
	const lines = said.join("").split("\n").map(settled);
	expect(lines).toEqual(expect.arrayContaining(answers.slice(0, 2)));
	const missing = await fetch(`${env.MILLRACE}/v1/topics/none`);
	expect(await missing.text()).toBe(`${answers[2]}\n`);
});

test("the bounds that the page tells are those that hold", () => {
	const number = (value: number) => value.toLocaleString("en");
	expect(text).toContain(`| 1 to ${number(LIMITS.httpRecordsMax)}; default 1,000 |`);
	expect(text).toContain(`| 1 to ${number(LIMITS.httpRecordsBytesMax)}, which is the default;`);
	expect(text).toContain(`| 0 (default) to ${number(LIMITS.httpWaitMsMax)}:`);
	expect(text).toContain(`at most ${number(LIMITS.httpRequestsMax)} requests`);
	expect(LIMITS.httpBodyMsMax).toBe(10_000);
	expect(LIMITS.httpUnreadMsMax).toBe(10_000);
	expect(LIMITS.httpBodyBytesMax).toBe(1_048_576);
});
