import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

import { bytesWritten, countDeviceBytes, deviceNumbers } from "../../bench/harness/device.ts";
import { temporaryDirectory } from "../broker-process.ts";

const MEBIBYTE = 1_048_576;

test("the bytes that a device was given are its sectors of 512", () => {
	const statistics =
		"   63924     8531  3868482    67773   136976    54965  7002  708236  0 2161\n";
	expect(bytesWritten(statistics)).toBe(7_002 * 512);
});

test.for([
	[0x1bn, "0:27"],
	[0xfe00n, "254:0"],
	[0x1_0302n, "259:2"],
	[0x10_082cn, "8:300"],
	[0x1000_1113_8871n, "5000:70001"],
] as const)("device %d is %s", ([device, numbers]) => {
	expect(deviceNumbers(device)).toBe(numbers);
});

test("what the page cache holds is counted, too", async (context) => {
	const directory = temporaryDirectory();
	const endCount = await countDeviceBytes(directory);
	writeFileSync(join(directory, "data"), randomBytes(4 * MEBIBYTE));
	const bytes = await endCount();
	if (bytes === null) return context.skip("no device, or none that tells, is below this directory");
	expect(bytes).toBeGreaterThanOrEqual(4 * MEBIBYTE);
});

test("nothing is known of a file system without a device", async (context) => {
	if (process.platform !== "linux") return context.skip("Linux alone has /proc");
	const endCount = await countDeviceBytes("/proc");
	expect(await endCount()).toBeNull();
});
