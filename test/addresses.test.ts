import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";

import { reachableAddresses, removeAddresses, writeAddresses } from "../src/addresses.ts";

test("addresses.json appears whole, and goes", async () => {
	const dataDir = mkdtempSync(join(tmpdir(), "millrace-addresses-"));
	try {
		const addresses = reachableAddresses({ host: "127.0.0.1", port: 4600 }, null);
		const noRoom = () => Promise.resolve(false);
		expect(await writeAddresses(dataDir, addresses, 0, noRoom)).toBe(true);
		expect(readdirSync(dataDir)).toEqual(["addresses.json"]);
		expect(JSON.parse(readFileSync(join(dataDir, "addresses.json"), "utf8"))).toEqual({
			pid: process.pid,
			started_at: "1970-01-01T00:00:00.000Z",
			websocket: "ws://127.0.0.1:4600",
			http: "http://127.0.0.1:4600",
			kafka: null,
		});
		await removeAddresses(dataDir);
		await removeAddresses(dataDir);
		expect(readdirSync(dataDir)).toEqual([]);
	} finally {
		rmSync(dataDir, { recursive: true });
	}
});

test("a listener on every address is reached through loopback", () => {
	expect(reachableAddresses({ host: "127.0.0.1", port: 1 }, null, true)).toEqual({
		websocket: "wss://127.0.0.1:1",
		http: "https://127.0.0.1:1",
		kafka: null,
	});
	expect(reachableAddresses({ host: "0.0.0.0", port: 1 }, { host: "::", port: 2 })).toEqual({
		websocket: "ws://127.0.0.1:1",
		http: "http://127.0.0.1:1",
		kafka: "[::1]:2",
	});
});
