import {
	chmodSync,
	mkdtempSync,
	readdirSync,
	rmSync,
	statSync,
	truncateSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, type TestContext, test } from "vitest";
import { loadRoofline, type Roofline } from "../../native/roofline/roofline.mjs";

const MEGABYTE = 1 << 20;

const directory = mkdtempSync(join(tmpdir(), "millrace-roofline-"));
const path = join(directory, "scratch");
afterAll(() => rmSync(directory, { recursive: true }));

function rooflineOrSkip(context: TestContext): Roofline {
	return loadRoofline() ?? context.skip("the roofline was not built (npm install says why)");
}

/**
 * Wide enough for any machine, also one that stalls for some seconds: outside lie a wrong unit and
 * a loop that the compiler dropped.
 */
function expectPlausibleRate(bytesPerSecond: number): void {
	expect(bytesPerSecond).toBeGreaterThan(3e4);
	expect(bytesPerSecond).toBeLessThan(1e12);
}

/** CRC32C one bit at a time, from its polynomial. */
function crc32cBitwise(data: Uint8Array): number {
	let state = 0xffffffff;
	for (const byte of data) {
		state ^= byte;
		for (let bit = 0; bit < 8; bit += 1) state = (state >>> 1) ^ (state & 1 ? 0x82f63b78 : 0);
	}
	return ~state >>> 0;
}

describe("the roofline", () => {
	test("computes CRC32C right, within one lane and across lanes", (context) => {
		const roofline = rooflineOrSkip(context);
		expect(roofline.crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
		for (const bytes of [0, 1, 7, 8, 4095, 4096, 12_287, 12_288, 12_289, 50_000]) {
			const data = Uint8Array.from({ length: bytes }, (_, index) => (index * 131) >> 3);
			expect(roofline.crc32c(data), `${bytes} bytes`).toBe(crc32cBitwise(data));
		}
	});

	test("measures CRC32C and memcpy in plausible bytes per second", (context) => {
		const roofline = rooflineOrSkip(context);
		expectPlausibleRate(roofline.crc32cRate(MEGABYTE, 20));
		expectPlausibleRate(roofline.copyRate(MEGABYTE, 20));
	});

	test.for(["mappedStore", "pwriteStore"] as const)(
		"measures %s and cleans up",
		(name, context) => {
			const roofline = rooflineOrSkip(context);
			for (const withCrc of [false, true]) {
				const rates = roofline[name](path, 4 * MEGABYTE + 1, withCrc);
				expectPlausibleRate(rates.firstBytesPerSecond);
				expectPlausibleRate(rates.againBytesPerSecond);
			}
			expect(readdirSync(directory)).toEqual([]);
		},
	);

	test.for(["loopbackReceive", "loopbackSend", "loopbackSendfile"] as const)(
		"measures %s, and the CPU time of one side",
		(name, context) => {
			const cost = rooflineOrSkip(context)[name](path, 8 * MEGABYTE + 1);
			expect(readdirSync(directory)).toEqual([]);
			if (cost === null) {
				expect(name).toBe("loopbackSendfile");
				expect(process.platform).not.toBe("linux");
				return;
			}
			expectPlausibleRate(cost.bytesPerSecond);
			expect(cost.cpuSecondsPerGib).toBeGreaterThan(0.001);
			expect(cost.cpuSecondsPerGib).toBeLessThan(1_000);
		},
	);

	test("moves less than a request or an answer, exactly some, and a bit more", (context) => {
		const roofline = rooflineOrSkip(context);
		for (const bytes of [1, MEGABYTE, 3 * MEGABYTE]) {
			expectPlausibleRate(roofline.loopbackReceive(path, MEGABYTE + bytes).bytesPerSecond);
			expectPlausibleRate(roofline.loopbackSend(path, MEGABYTE + bytes).bytesPerSecond);
			expect(roofline.loopbackReceive(path, bytes).bytesPerSecond).toBeGreaterThan(0);
			expect(roofline.loopbackSend(path, bytes).bytesPerSecond).toBeGreaterThan(0);
		}
	});

	test("measures each fdatasync in microseconds", (context) => {
		const samples = rooflineOrSkip(context).syncLatency(path, 4096, 5);
		expect(samples).toHaveLength(5);
		for (const microseconds of samples) {
			expect(microseconds).toBeGreaterThan(0);
			expect(microseconds).toBeLessThan(100_000_000);
		}
		expect(readdirSync(directory)).toEqual([]);
	});

	test("pauses before each fdatasync where it is asked to, and does not count that", (context) => {
		const roofline = rooflineOrSkip(context);
		const start = performance.now();
		const samples = roofline.syncLatency(path, 4096, 4, 50);
		const elapsedMs = performance.now() - start;
		expect(elapsedMs).toBeGreaterThanOrEqual(200);
		const measuredMs = samples.reduce((sum, microseconds) => sum + microseconds, 0) / 1_000;
		expect(measuredMs).toBeLessThan(elapsedMs - 199);
		for (const pause of [-1, 1_001, Number.NaN]) {
			expect(() => roofline.syncLatency(path, 4096, 1, pause)).toThrow(RangeError);
		}
	});

	test("tells what of a file is in the page cache, and does not guess", (context) => {
		const roofline = rooflineOrSkip(context);
		const file = join(directory, "some pages");
		writeFileSync(file, "");
		const ofEmpty = roofline.residentBytes(file);
		if (ofEmpty === null) return expect(process.platform).not.toBe("linux");
		expect(ofEmpty).toBe(0);
		// Whole pages of any system, and a hole behind them that is not there.
		const written = MEGABYTE / 2;
		writeFileSync(file, new Uint8Array(written));
		truncateSync(file, MEGABYTE);
		expect(roofline.residentBytes(file)).toBe(written);
		expect(statSync(file).size).toBe(MEGABYTE);
		chmodSync(file, 0o400);
		if (process.getuid?.() === 0) expect(roofline.residentBytes(file)).toBe(written);
		else expect(() => roofline.residentBytes(file)).toThrow(/^open .*some pages/);
		rmSync(file);
		expect(() => roofline.residentBytes(file)).toThrow(/^open .*some pages/);
	});

	test("refuses sizes out of range and names the system call that failed", (context) => {
		const roofline = rooflineOrSkip(context);
		for (const bytes of [0, -1, Number.NaN, 2 ** 40]) {
			expect(() => roofline.copyRate(bytes, 1)).toThrow(RangeError);
		}
		expect(() => roofline.mappedStore(join(directory, "no/such"), 1, false)).toThrow(
			/^open .*no\/such/,
		);
	});
});
