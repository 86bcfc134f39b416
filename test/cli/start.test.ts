/** What a signal does to a broker that is not up yet. */
import { expect, test } from "vitest";

import { BrokerProcess } from "../broker-process.ts";
import { HeldStart } from "../held-start.ts";

/** What a stop may take at most. */
const STOP_MS_MAX = 10_000;

test("a start that is done in time stops in order", async () => {
	const start = await HeldStart.begin();
	start.signal("SIGTERM");
	const { code, stderr } = await start.release();
	expect(code, stderr).toBe(0);
	expect(stderr).toContain("stopping once the start is done");
	expect(stderr).toContain('"stopped"');
});

test("a start that takes longer is cut off, and the next one recovers", async () => {
	const start = await HeldStart.begin();
	const askedMs = performance.now();
	start.signal("SIGTERM");
	const { code: cutOffCode, stderr } = await start.ended;
	expect(cutOffCode, stderr).toBe(0);
	expect(stderr).toContain("the start was not done in time and is cut off");
	// A busy machine is late at times; nothing ends it before its time is over.
	expect(performance.now() - askedMs).toBeGreaterThan(STOP_MS_MAX - 1_000);
	expect(performance.now() - askedMs).toBeLessThan(STOP_MS_MAX * 6);
	start.clear();
	const { code } = await (await BrokerProcess.start({ dataDir: start.dataDir })).stop();
	expect(code).toBe(0);
});

test("a second signal ends it at once, whatever the start is at", async () => {
	const start = await HeldStart.begin();
	start.signal("SIGTERM");
	start.signal("SIGINT");
	const { code, stderr } = await start.ended;
	// The system may swap them.
	expect([130, 143], stderr).toContain(code);
	expect(stderr).toContain("ending at once");
});
