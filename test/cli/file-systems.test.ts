/** The kinds of file systems, as the core has them and as a backup goes by them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

import { checkTarget } from "../../src/cli/backup.ts";
import { FILE_SYSTEMS, fileSystemAt, fileSystemOf } from "../../src/cli/file-systems.ts";
import { temporaryDirectory } from "../broker-process.ts";

const disk = fileURLToPath(new URL("../../native/core/src/env/disk.rs", import.meta.url));

/** The numbers in a part of the core's `kind_of_magic`. */
function numbersIn(text: string): number[] {
	const found = text.match(/0x[0-9a-f_]+/g) ?? [];
	return found.map((number) => Number(number.replaceAll("_", ""))).sort((a, b) => a - b);
}

test("are told as the core tells them, which decides what a broker starts on", () => {
	const source = readFileSync(disk, "utf8");
	const start = source.indexOf("fn kind_of_magic");
	const body = source.slice(start, source.indexOf("\n}\n", start));
	const [memory = "", rest = ""] = body.split("=> return FileSystemKind::Memory");
	const [copied = "", network = ""] = rest.split("return FileSystemKind::CopyOnWrite");
	const ours = (wanted: string) =>
		[...FILE_SYSTEMS].flatMap(([type, [, kind]]) => (kind === wanted ? [type] : []));
	const sorted = (types: number[]) => types.sort((left, right) => left - right);
	expect(sorted(ours("memory"))).toEqual(numbersIn(memory));
	expect(sorted(ours("copy-on-write"))).toEqual(numbersIn(copied));
	expect(sorted(ours("network"))).toEqual(numbersIn(network));
	expect(numbersIn(network).length).toBeGreaterThan(10);
});

test("that no data directory is opened on take no backup", () => {
	for (const type of [0x6969, 0xff534d42, 0x65735546]) {
		const { name } = fileSystemOf(type);
		expect(() => checkTarget("/mnt/backups", fileSystemOf(type))).toThrow(
			new RegExp(`^/mnt/backups is on ${name}.*then copy the finished backup$`),
		);
	}
	for (const type of [0xef53, 0x9123683e, 1]) checkTarget("/mnt/backups", fileSystemOf(type));
});

test("are those of the nearest directory where there is none yet", async () => {
	const directory = temporaryDirectory();
	const here = await fileSystemAt(directory);
	expect(await fileSystemAt(join(directory, "deeper", "still"))).toEqual(here);
});
