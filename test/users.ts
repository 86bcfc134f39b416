/** Data directories with users in them, for brokers that ask who one is. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";

import { type AtEnd, BrokerProcess, runCommand, temporaryDirectory } from "./broker-process.ts";

export interface DirectoryOfUsers {
	readonly dataDir: string;
	/** Files with their passwords, in the order of the users. */
	readonly passwordFiles: readonly string[];
}

/** One that `millrace user set` has written `passwords` to, by the users' names. */
export async function directoryOfUsers(
	passwords: Readonly<Record<string, string>>,
	atEnd: AtEnd,
): Promise<DirectoryOfUsers> {
	const dataDir = temporaryDirectory(atEnd);
	await (await BrokerProcess.start({ dataDir, atEnd })).stop();
	const passwordFiles: string[] = [];
	for (const [user, password] of Object.entries(passwords)) {
		const file = join(temporaryDirectory(atEnd), "password");
		writeFileSync(file, `${password}\n`);
		const set = ["user", "set", user, "--data-dir", dataDir, "--password-file", file];
		expect(await runCommand(set)).toMatchObject({ code: 0 });
		passwordFiles.push(file);
	}
	return { dataDir, passwordFiles };
}
