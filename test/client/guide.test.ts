import { readFileSync } from "node:fs";
import * as openTelemetry from "@opentelemetry/api";
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import * as millrace from "../../src/client/index.ts";
import { startBroker } from "../../src/index.ts";
import { inTrace, SPAN } from "./in-trace.ts";
import { ScriptedBroker } from "./scripted-broker.ts";

/** The programs of docs/client.md, in their order. */
const programs = [
	...readFileSync(new URL("../../docs/client.md", import.meta.url), "utf8").matchAll(
		/```js\n([\s\S]*?)```/g,
	),
].map(([, program]) => program as string);

const MODULES = { "millrace/client": millrace, "@opentelemetry/api": openTelemetry };

let broker: ScriptedBroker;

beforeEach(async () => {
	broker = await ScriptedBroker.start();
});

afterEach(() => broker.kill());

test.each(programs.map((program, index) => [index + 1, program] as const))(
	"program %i of the guide runs as it stands",
	async (_number, program) => {
		// The scripted broker has no groups, no users and no settings, and delivers no headers.
		const needsReal = /group:|carrierOf|\.users\./.test(program);
		const real = needsReal ? await startBroker({ memory: true }) : undefined;
		onTestFinished(() => real?.close());
		const lines: unknown[][] = [];
		const console = { log: (...line: unknown[]) => lines.push(line), error: vi.fn() };
		const body = program
			.replace(/import (\{[^}]+\}) from "([^"]+)";/g, 'const $1 = modules["$2"];')
			.replace("ws://127.0.0.1:4600", real?.addresses.websocket ?? broker.url);
		// The guide's programs are modules: their imports are what is passed in here.
		const run = new Function("modules", "console", "fetch", `return (async () => {${body}})()`);
		await inTrace(() => run(MODULES, console, async () => new Response("a ticket")));
		expect(console.error).not.toHaveBeenCalled();
		await expect.poll(() => broker.sessions.size).toBe(0);
		if (program.includes("100_000")) expect(broker.texts("lines").length).toBe(100_000);
		if (program.includes("carrierOf")) expect(lines).toEqual([[SPAN.traceId]]);
		else if (program.includes(".users.")) {
			expect(lines).toEqual([
				[[{ user: "alice", credentials: expect.any(Array) }]],
				[[expect.objectContaining({ name: "log.retention.ms", value: "86400000" })]],
			]);
		} else if (real !== undefined) {
			expect(lines).toEqual([[expect.objectContaining({ group: "billing", state: "Empty" })]]);
		}
		if (program.includes("console.log(ack)")) {
			expect(lines).toEqual([[expect.objectContaining({ offset: 0 })]]);
		}
	},
);

test("the guide has programs", () => expect(programs.length).toBe(10));
