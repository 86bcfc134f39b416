import {
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
	symlinkSync,
	utimesSync,
	writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

import { checkClock, checkMemory, memoryLimitBytes } from "../../../src/cli/doctor/data.ts";
import { describeChecks } from "../../../src/cli/doctor/doctor.ts";
import { checkOvercommit, checkPort } from "../../../src/cli/doctor/machine.ts";
import { checkExposure } from "../../../src/cli/doctor/security.ts";
import {
	checkStorage,
	describeFileSystem,
	describeFlush,
	describeInodes,
	describeRefusal,
	describeSpace,
} from "../../../src/cli/doctor/storage.ts";
import { checkTls } from "../../../src/cli/doctor/tls.ts";
import { resolveConfig } from "../../../src/config/load.ts";
import { runCommand, temporaryDirectory } from "../../broker-process.ts";
import { CertificateAuthority } from "../../certificates.ts";
import { hasOpenssl, MISSING_OPENSSL } from "../../optional-parts.ts";

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
	expect(describeFileSystem(0x65735546)).toMatchObject({ status: "fail" });
	expect(describeFileSystem(0xf2f52010)).toMatchObject({ status: "warn" });
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
			"free inodes",
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
	if (process.platform === "linux")
		expect(check.next).toMatch(new RegExp(`^pid ${process.pid} \\(`));
	const free = await checkPort("websocket port", "--websocket", { host: "127.0.0.1", port: 0 });
	expect(free.status).toBe("ok");
});

test("a clock behind the newest segment is told, and one that is right passes", () => {
	const dataDir = mkdtempSync(join(tmpdir(), "millrace-doctor-"));
	try {
		const nowMs = Date.parse("2026-06-01");
		const nowS = nowMs / 1_000;
		expect(checkClock(dataDir, nowMs)).toMatchObject({ status: "ok" });
		expect(checkClock(dataDir, 0)).toMatchObject({
			status: "fail",
			found: expect.stringContaining("1970"),
		});
		const partition = join(dataDir, "logs", "01890a5d-ac96-774b-bcce-b302099a8057", "0");
		mkdirSync(partition, { recursive: true });
		const segment = join(partition, "00000000000000000000.log");
		writeFileSync(segment, "records");
		utimesSync(segment, nowS, nowS);
		expect(checkClock(dataDir, nowMs)).toMatchObject({ status: "ok" });
		expect(checkClock(dataDir, nowMs - 100_000)).toMatchObject({
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
		// A broker that stops, or a disk that had no room for all of it.
		for (const content of [JSON.stringify({ pid: 2 ** 31 }), '{"pid":1', "null", ""]) {
			writeFileSync(join(dataDir, "addresses.json"), content);
			expect((await checkMemory(dataDir)).found).toContain("no broker runs here");
		}
	} finally {
		rmSync(dataDir, { recursive: true });
	}
});

test("what cannot be looked at is told as not known, beside all other checks", async () => {
	const directory = temporaryDirectory();
	const file = join(directory, "file");
	writeFileSync(file, "");
	const loop = join(directory, "loop");
	symlinkSync(loop, loop);
	for (const [dataDir, code] of [
		[file, "ENOTDIR"],
		[loop, "ELOOP"],
	] as const) {
		const unknown = { status: "warn", found: expect.stringContaining(`not known: ${code}`) };
		expect(checkClock(dataDir, Date.now())).toMatchObject(unknown);
		expect(await checkMemory(dataDir)).toMatchObject(unknown);
	}
	const { code, stdout } = await runCommand(["doctor", "--data-dir", file, "--json"]);
	expect(code).toBe(1);
	const { checks } = JSON.parse(stdout.toString());
	expect(checks).toContainEqual(
		expect.objectContaining({ name: "data directory", status: "fail" }),
	);
});

test("who can reach the broker is told, and what they can do there", () => {
	const check = (flags: Record<string, string>) => checkExposure(resolveConfig({ flags }).config);
	expect(check({})).toMatchObject({ status: "ok" });
	const open = check({ kafka: "0.0.0.0:9092", "allow-anonymous-remote": "true" });
	expect(open).toMatchObject({ status: "warn", found: expect.stringContaining("kafka 0.0.0.0") });
	const asked = { websocket: "0.0.0.0:4600", "websocket-security-protocol": "SASL_PLAINTEXT" };
	expect(check(asked).found).toContain("can be read on the way to websocket 0.0.0.0:4600");
	const certified = { ...asked, "ssl-keystore-location": "keystore.pem" };
	const secured = { ...certified, "websocket-security-protocol": "SASL_SSL" };
	expect(check(secured)).toMatchObject({ status: "ok" });
});

describe("a data directory that cannot be written to is told by its true cause", () => {
	test("a file in its place", async () => {
		const file = join(temporaryDirectory(), "data");
		writeFileSync(file, "");
		for (const path of [file, join(file, "deeper")]) {
			const [check] = await checkStorage(path);
			expect(check).toMatchObject({
				status: "fail",
				next: expect.stringMatching(/a file of that/),
			});
		}
	});

	test.each([
		["ENOSPC", /free space or inodes/],
		["EDQUOT", /quota/],
		["EROFS", /read-only/],
		["EACCES", /chown/],
		["EIO", /what the system says/],
	])("%s", async (code, next) => {
		const directory = temporaryDirectory();
		const refused = Object.assign(new Error(`${code}: mkdtemp`), { code });
		const check = await describeRefusal(directory, refused);
		expect(check).toMatchObject({ status: "fail", next: expect.stringMatching(next) });
		if (code === "EACCES") expect(check.found).toContain(`belongs to user ${process.getuid?.()}`);
	});
});

test("a disk without inodes is told", () => {
	expect(describeInodes(0, 0)).toMatchObject({ status: "ok" });
	expect(describeInodes(1_000_000, 500_000)).toMatchObject({ status: "ok" });
	expect(describeInodes(1_000_000, 500)).toMatchObject({ status: "warn" });
	expect(describeInodes(1_000_000, 0)).toMatchObject({ status: "fail", found: "0 of 1000000" });
});

test("a kernel that promises no more memory than there is is told", async () => {
	const file = join(temporaryDirectory(), "overcommit_memory");
	writeFileSync(file, "0\n");
	expect(await checkOvercommit(file)).toMatchObject({ status: "ok" });
	writeFileSync(file, "2\n");
	expect(await checkOvercommit(file)).toMatchObject({ status: "warn" });
	expect(await checkOvercommit(`${file}.gone`)).toMatchObject({ status: "ok" });
});

test("the least memory limit of all control groups around the process counts", async () => {
	const root = temporaryDirectory();
	const membership = join(root, "cgroup");
	writeFileSync(membership, "0::/system.slice/millrace.service\n");
	mkdirSync(join(root, "system.slice", "millrace.service"), { recursive: true });
	expect(await memoryLimitBytes(root, membership)).toBeUndefined();
	writeFileSync(join(root, "system.slice", "millrace.service", "memory.max"), "max\n");
	writeFileSync(join(root, "system.slice", "memory.max"), "268435456\n");
	expect(await memoryLimitBytes(root, membership)).toBe(268_435_456);

	writeFileSync(membership, "9:memory:/docker\n");
	mkdirSync(join(root, "memory", "docker"), { recursive: true });
	const file = join(root, "memory", "docker", "memory.limit_in_bytes");
	writeFileSync(file, "9223372036854771712\n");
	expect(await memoryLimitBytes(root, membership)).toBeUndefined();
	writeFileSync(file, "134217728\n");
	expect(await memoryLimitBytes(root, membership)).toBe(134_217_728);
});

describe("TLS files", () => {
	const NONE = {
		sslKeyPasswordFile: "",
		sslTruststoreLocation: "",
		sslClientAuth: "none",
		kafkaSecurityProtocol: "PLAINTEXT",
	} as const;

	test("that are good, run out, are not yet valid or cannot be used", async (context) => {
		if (!hasOpenssl()) context.skip(MISSING_OPENSSL);
		const authority = new CertificateAuthority();
		const { keystore, certificateFile } = authority.issue("/CN=localhost");
		const check = (sslKeystoreLocation: string, atMs: number) =>
			checkTls({ ...NONE, websocketSecurityProtocol: "SASL_SSL", sslKeystoreLocation }, atMs);
		const dayMs = 86_400_000;
		// Made for two days from now on.
		expect(await check(keystore, Date.now())).toMatchObject([
			{ status: "warn", found: expect.stringContaining("CN=localhost") },
		]);
		expect(await check(keystore, Date.now() + 3 * dayMs)).toMatchObject([{ status: "fail" }]);
		expect(await check(keystore, Date.now() - dayMs)).toMatchObject([
			{ status: "fail", next: expect.stringContaining("clock") },
		]);
		const other = authority.issue("/CN=other");
		const mixed = join(authority.directory, "mixed.pem");
		writeFileSync(
			mixed,
			readFileSync(other.keyFile, "utf8") + readFileSync(certificateFile, "utf8"),
		);
		expect(await check(mixed, Date.now())).toMatchObject([
			{ status: "fail", found: expect.stringMatching(/mismatch/) },
		]);
		expect(await check(join(authority.directory, "gone.pem"), Date.now())).toMatchObject([
			{ status: "fail", found: expect.stringContaining("ENOENT") },
		]);
	});

	test("are nobody's business without TLS", async () => {
		const options = {
			...NONE,
			websocketSecurityProtocol: "SASL_PLAINTEXT",
			sslKeystoreLocation: "",
		} as const;
		expect(await checkTls(options, Date.now())).toEqual([]);
	});
});
