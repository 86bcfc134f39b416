/** The programs of docs/testing.md, as they stand. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Kafka } from "kafkajs";
import { build } from "rolldown";
import { expect, test } from "vitest";

import { connect } from "../../src/client/index.ts";
import { startBroker } from "../../src/index.ts";
import { temporaryDirectory } from "../broker-process.ts";

const page = readFileSync(new URL("../../docs/testing.md", import.meta.url), "utf8");
const programs = [...page.matchAll(/```js\n([\s\S]*?)```/g)].map(([, text]) => text as string);

type Program = (imports: object, log: (...values: unknown[]) => void) => Promise<void>;

/** A program as a function of what it imports: the packages are not installed here. */
async function compiled(program: string): Promise<Program> {
	const directory = temporaryDirectory();
	const body = program.replaceAll(/^import .*\n/gm, "");
	const source = `export default async ({ connect, Kafka, startBroker }, log) => {
		const console = { log };
		${body}
	}`;
	const [input, file] = [join(directory, "program.js"), join(directory, "program.mjs")];
	writeFileSync(input, source);
	// Node 20 and 22 have no `await using`.
	await build({ input, transform: { target: "node20" }, output: { file }, logLevel: "warn" });
	return (await import(file)).default;
}

test.each(programs.map((program, index) => [index + 1, program] as const))(
	"program %i runs, and says what it says it does",
	async (_number, program) => {
		const said: string[] = [];
		const run = await compiled(program);
		const log = (...values: unknown[]) => void said.push(values.join(" "));
		await run({ connect, Kafka, startBroker }, log);
		const told = [...program.matchAll(/console\.log\(.*\); \/\/ ([\w ]+)/g)].map(
			([, text]) => text,
		);
		expect(told.length).toBeGreaterThan(0);
		expect(said).toEqual(told);
	},
);

test("the page has programs", () => expect(programs.length).toBe(5));
