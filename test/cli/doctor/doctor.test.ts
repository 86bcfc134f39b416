import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { checkClock, checkMemory } from "../../../src/cli/doctor/data.ts";
import { describeChecks } from "../../../src/cli/doctor/doctor.ts";
import { checkPort } from "../../../src/cli/doctor/machine.ts";
import {
	checkStorage,
	describeFileSystem,
	describeFlush,
	describeSpace,
} from "../../../src/cli/doctor/storage.ts";

test("what is wrong comes with the next step", () => {
	const text = describeChecks([
		{ name: "node", status: "ok", found: "v22" },
		{ name: "file system", status: "fail", found: "nfs", next: "use a local disk" },
	]);
	expect(text.split("\n").slice(1)).toEqual([
		"ok    node         v22",
		"fail  file system  nfs",
		"      -> use a local disk",
	]);
});

test("network file systems fail, unknown ones warn", () => {
	expect(describeFileSystem(0x6969)).toMatchObject({ status: "fail" });
	expect(describeFileSystem(0xef53)).toMatchObject({ status: "ok" });
	expect(describeFileSystem(1)).toMatchObject({ status: "warn", found: "type 0x1" });
});

test("free space comes with the watermarks of a disk of that size", () => {
	expect(describeSpace(64 * 2 ** 20, 30 * 2 ** 20)).toEqual({
		name: "free space",
		status: "ok",
		found:
			"30 MiB of 64 MiB; records are refused below 2 MiB, taken again from 4 MiB on, " +
			"warned of below 8 MiB; 512 KiB reserve",
	});
	expect(describeSpace(2 ** 40, 15 * 2 ** 30)).toMatchObject({
		status: "warn",
		found:
			"15 GiB of 1 TiB; records are refused below 1 GiB, taken again from 2 GiB on, " +
			"warned of below 16 GiB; 16 MiB reserve",
	});
});

test("latencies are told by their distribution", () => {
	const found = "write + fdatasync of 4096 bytes: p50 1.00 ms, p99 30.00 ms, max 30.00 ms";
	expect(describeFlush([1, 1, 1, 30])).toMatchObject({ status: "ok", found });
	expect(describeFlush([30, 30, 30])).toMatchObject({ status: "warn" });
});

test("probing a data directory that does not exist yet leaves nothing behind", async () => {
	const parent = mkdtempSync(join(tmpdir(), "millrace-doctor-"));
	try {
		const checks = await checkStorage(join(parent, "data", "deeper"));
		expect(checks.map(({ name }) => name)).toEqual([
			"file system",
			"free space",
			"data directory",
			"fallocate",
			"flush latency",
		]);
		expect(checks.find(({ name }) => name === "data directory")?.found).toContain(
			"will be created",
		);
		expect(readdirSync(parent)).toEqual([]);
	} finally {
		rmSync(parent, { recursive: true });
	}
});

test("a port in use is told with the flag that chooses another", async () => {
	const server = createServer();
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	const address = server.address();
	const port = typeof address === "object" && address !== null ? address.port : 0;
	const check = await checkPort("websocket port", "--websocket", { host: "127.0.0.1", port });
	server.close();
	expect(check.status).toBe("warn");
	expect(check.next).toContain("--websocket");
	const free = await checkPort("websocket port", "--websocket", { host: "127.0.0.1", port: 0 });
	expect(free.status).toBe("ok");
});

test("a clock behind the newest segment is told, and one that is right passes", () => {
	const dataDir = mkdtempSync(join(tmpdir(), "millrace-doctor-"));
	try {
		expect(checkClock(dataDir, 0)).toMatchObject({ status: "ok" });
		const partition = join(dataDir, "logs", "01890a5d-ac96-774b-bcce-b302099a8057", "0");
		mkdirSync(partition, { recursive: true });
		const segment = join(partition, "00000000000000000000.log");
		writeFileSync(segment, "records");
		utimesSync(segment, 2_000, 2_000);
		expect(checkClock(dataDir, 2_000_000)).toMatchObject({ status: "ok" });
		expect(checkClock(dataDir, 1_900_000)).toMatchObject({
			status: "warn",
			found: "the newest segment was written 100 s in the future",
			next: expect.stringContaining("NTP"),
		});
	} finally {
		rmSync(dataDir, { recursive: true });
	}
});

test("the memory of a running broker is its own, without page cache", async () => {
	const dataDir = mkdtempSync(join(tmpdir(), "millrace-doctor-"));
	try {
		expect((await checkMemory(dataDir)).found).toContain("no broker runs here");
		writeFileSync(join(dataDir, "addresses.json"), JSON.stringify({ pid: process.pid }));
		expect((await checkMemory(dataDir)).found).toMatch(
			/^RssAnon [1-9][\d.]* MiB of pid \d+; [\d.]+ [KM]iB/,
		);
		writeFileSync(join(dataDir, "addresses.json"), JSON.stringify({ pid: 2 ** 31 }));
		expect((await checkMemory(dataDir)).found).toContain("no broker runs here");
	} finally {
		rmSync(dataDir, { recursive: true });
	}
});
