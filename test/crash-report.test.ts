import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

import { writeCrashReport } from "../src/crash-report.ts";
import { BrokerProcess, temporaryDirectory } from "./broker-process.ts";

test("a broker that ends by an error nobody caught says where its report is", async () => {
	const thrown = 'process.on("SIGUSR2", () => { throw new Error("the sky fell"); })';
	const broker = await BrokerProcess.start({
		nodeFlags: [`--import=data:text/javascript,${encodeURIComponent(thrown)}`],
		environment: { SECRET_OF_MINE: "do not tell" },
	});
	process.kill(broker.pid, "SIGUSR2");
	const { code, stderr } = await broker.ended;
	expect(code).toBe(1);
	const last = JSON.parse(stderr.trim().split("\n").at(-1) ?? "");
	expect(last).toMatchObject({ level: "fatal", err: { message: "the sky fell" } });
	expect(last.report.startsWith(join(broker.dataDir, "crashes", "crash-"))).toBe(true);
	expect(statSync(last.report).mode & 0o777).toBe(0o600);
	const text = readFileSync(last.report, "utf8");
	expect(JSON.parse(text)).toMatchObject({
		error: expect.stringContaining("the sky fell"),
		header: { processId: broker.pid },
	});
	expect(text).not.toContain("do not tell");

	// The directory is as good as after a kill.
	const again = await BrokerProcess.start({ dataDir: broker.dataDir });
	expect((await again.stop()).code).toBe(0);
	expect(readdirSync(join(broker.dataDir, "crashes"))).toHaveLength(1);
});

test("a broker that ends so before it is up leaves one, too", async () => {
	const dataDir = join(temporaryDirectory(), "data");
	// What ends a broker is asked for, and the error comes in the turn behind.
	const thrown = `process.on("newListener", (name) => {
		if (name !== "uncaughtException") return;
		setImmediate(() => { throw new Error("too early"); });
	})`;
	const ended = await BrokerProcess.start({
		dataDir,
		nodeFlags: [`--import=data:text/javascript,${encodeURIComponent(thrown)}`],
	}).catch((error: Error) => error.message);
	expect(ended).toContain("the broker ended with 1");
	expect(ended).not.toContain("ws://");
	const [name = ""] = readdirSync(join(dataDir, "crashes"));
	const { error } = JSON.parse(readFileSync(join(dataDir, "crashes", name), "utf8"));
	expect(error).toContain("too early");

	const broker = await BrokerProcess.start({ dataDir });
	expect((await broker.stop()).code).toBe(0);
});

test("the oldest reports make room, and what is not a report stays", () => {
	const dataDir = temporaryDirectory();
	const directory = join(dataDir, "crashes");
	mkdirSync(directory);
	writeFileSync(join(directory, "notes.txt"), "");
	for (let day = 10; day < 30; day++) {
		writeFileSync(join(directory, `crash-2026-01-${day}T00-00-00-000Z.json`), "{}");
	}
	writeFileSync(join(directory, "panic-2026-01-20T12-00-00-000Z-0.txt"), "");
	const path = writeCrashReport(dataDir, "no error at all");
	const names = readdirSync(directory);
	expect(names).toHaveLength(11);
	expect(names).toContain("notes.txt");
	expect(names).toContain("crash-2026-01-21T00-00-00-000Z.json");
	expect(names).not.toContain("crash-2026-01-20T00-00-00-000Z.json");
	expect(names).not.toContain("panic-2026-01-20T12-00-00-000Z-0.txt");
	expect(readFileSync(path as string, "utf8")).toContain("no error at all");
});

test("where no report can be written that is said instead", () => {
	const file = join(temporaryDirectory(), "file");
	writeFileSync(file, "");
	expect(writeCrashReport(file, new Error("one"))).toMatchObject({ code: "ENOTDIR" });
});
