import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

import { BrokerProcess, runCommand, temporaryDirectory } from "../broker-process.ts";
import { endsOf, leaveJournal } from "../flush-journal.ts";

test("what a dead broker has journaled is told of, copied and brought to its logs", async () => {
	const dataDir = join(temporaryDirectory(), "data");
	const copy = join(temporaryDirectory(), "copy");
	const written = await leaveJournal(dataDir);
	expect(existsSync(join(dataDir, "journal", "0"))).toBe(true);

	const verified = await runCommand(["verify", "--data-dir", dataDir]);
	expect(verified, verified.stderr.toString()).toMatchObject({ code: 0 });
	expect(verified.stdout.toString()).toContain("the flush journal holds records of it");

	const copied = await runCommand(["backup", "--data-dir", dataDir, copy]);
	expect(copied, copied.stderr.toString()).toMatchObject({ code: 0 });
	expect(copied.stdout.toString()).toMatch(/journal: \d+ bytes of \d+ groups were brought to/);

	for (const directory of [dataDir, copy]) {
		const broker = await BrokerProcess.start({ dataDir: directory });
		expect(await endsOf(broker)).toEqual(written);
		await broker.stop();
		expect(existsSync(join(directory, "journal", "0"))).toBe(false);
		const format = JSON.parse(readFileSync(join(directory, "format.json"), "utf8"));
		expect(format).toMatchObject({ format_version: 3 });
	}
});
