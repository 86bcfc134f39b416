import { readFileSync } from "node:fs";
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import * as millrace from "../../src/client/index.ts";
import { startBroker } from "../../src/index.ts";
import { ScriptedBroker } from "./scripted-broker.ts";

/** The programs of docs/client.md, in their order. */
const programs = [
	...readFileSync(new URL("../../docs/client.md", import.meta.url), "utf8").matchAll(
		/```js\n([\s\S]*?)```/g,
	),
].map(([, program]) => program as string);

let broker: ScriptedBroker;

beforeEach(async () => {
	broker = await ScriptedBroker.start();
});

afterEach(() => broker.kill());

test.each(programs.map((program, index) => [index + 1, program] as const))(
	"program %i of the guide runs as it stands",
	async (_number, program) => {
		// The scripted broker has no groups.
		const real = program.includes("group:") ? await startBroker({ memory: true }) : undefined;
		onTestFinished(() => real?.close());
		const lines: unknown[][] = [];
		const console = { log: (...line: unknown[]) => lines.push(line), error: vi.fn() };
		const body = program
			.replace('import { connect } from "millrace/client";', "")
			.replace("ws://127.0.0.1:4600", real?.addresses.websocket ?? broker.url);
		// The guide's programs are modules: their import is what is passed in here.
		const run = new Function("connect", "console", `return (async () => {${body}})()`);
		await run(millrace.connect, console);
		expect(console.error).not.toHaveBeenCalled();
		await vi.waitFor(() => expect(broker.sessions.size).toBe(0));
		if (program.includes("100_000")) expect(broker.texts("lines").length).toBe(100_000);
		if (real !== undefined) {
			expect(lines).toEqual([[expect.objectContaining({ group: "billing", state: "Empty" })]]);
		}
		if (program.includes("console.log(ack)")) {
			expect(lines).toEqual([[expect.objectContaining({ offset: 0 })]]);
		}
	},
);

test("the guide has programs", () => expect(programs.length).toBe(5));
