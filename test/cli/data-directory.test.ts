/** Who may write to a data directory without a broker, and how a password comes there. */
import { spawnSync } from "node:child_process";
import { chmodSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";

import { BrokerProcess, runCommand, temporaryDirectory } from "../broker-process.ts";

const NOBODY = 65_534;
/** A user that no machine has a name for. */
const NAMELESS = 54_321;

async function newDataDirectory(): Promise<string> {
	const dataDir = join(temporaryDirectory(), "data");
	await (await BrokerProcess.start({ dataDir })).stop();
	return dataDir;
}

const setUser = (dataDir: string) =>
	runCommand(["user", "set", "alice", "--data-dir", dataDir, "--password-file", "-"], {
		input: Buffer.from("correct horse\n"),
	});

const ownersOf = (directory: string) => {
	const names = readdirSync(directory, { recursive: true, encoding: "utf8" });
	return [...new Set(names.map((name) => statSync(join(directory, name)).uid))];
};

test("root writes nothing that the broker of another user could not read", async (context) => {
	if (process.getuid?.() !== 0) context.skip("giving files to another user needs root");
	const dataDir = await newDataDirectory();
	const give = (uid: number) => spawnSync("chown", ["-R", `${uid}`, dataDir]);
	give(NOBODY);
	const refused = { code: 2, stderr: expect.stringContaining("sudo -u nobody millrace") };
	expect(await setUser(dataDir)).toMatchObject(refused);
	for (const command of [
		["user", "list"],
		["user", "remove", "alice"],
		["downgrade", "--to", "1"],
		["repair", "--yes"],
	]) {
		const ending = await runCommand([...command, "--data-dir", dataDir]);
		expect(ending, command.join(" ")).toMatchObject(refused);
	}
	// What only reads may be anybody's.
	for (const command of [["repair", "--dry-run"], ["verify"], ["disk"]]) {
		const ending = await runCommand([...command, "--data-dir", dataDir]);
		expect(ending, command.join(" ")).toMatchObject({ code: 0 });
	}
	expect(ownersOf(dataDir)).toEqual([NOBODY]);

	give(NAMELESS);
	const { stderr } = await setUser(dataDir);
	expect(stderr).toContain(`runs as user ${NAMELESS}`);
	expect(stderr).toContain(`sudo -u '#${NAMELESS}' millrace`);
	give(0);
	expect(await setUser(dataDir)).toMatchObject({ code: 0 });
});

test("a directory that a user may not read is told from one that is none", async (context) => {
	if (process.getuid?.() !== 0) context.skip("running as another user needs root");
	const dataDir = await newDataDirectory();
	const asNobody = (...command: string[]) =>
		runCommand([...command, "--data-dir", dataDir], { user: NOBODY });
	if ((await asNobody("config", "check")).code !== 0) {
		context.skip("no other user may run what is built here");
	}
	chmodSync(dirname(dataDir), 0o755);
	// The directory as a package makes it, and one in which only the files keep others out.
	for (const mode of [0o750, 0o755]) {
		chmodSync(dataDir, mode);
		for (const command of [["disk"], ["verify"], ["repair", "--dry-run"]]) {
			const { code, stderr } = await asNobody(...command);
			expect(code, command.join(" ")).toBe(2);
			expect(stderr).toContain(
				`${dataDir} cannot be read by this user (EACCES): sudo -u root millrace ...`,
			);
		}
		const { code, stdout } = await asNobody("doctor");
		expect(code).toBe(1);
		expect(stdout.toString()).toMatch(/^warn +clock +not known: EACCES/m);
		expect(stdout.toString()).toMatch(/^fail +data directory +EACCES/m);
	}
	const none = await runCommand(["disk", "--data-dir", dirname(dataDir)]);
	expect(none).toMatchObject({
		code: 2,
		stderr: expect.stringContaining("is not a data directory"),
	});
	const file = await runCommand(["disk", "--data-dir", join(dataDir, "format.json")]);
	expect(file).toMatchObject({
		code: 2,
		stderr: expect.stringContaining("is not a data directory"),
	});
});

test("a password comes from stdin, also where nobody may open that anew", async () => {
	const dataDir = await newDataDirectory();
	// A socket, which /dev/stdin does not open.
	expect(await setUser(dataDir)).toMatchObject({ code: 0, stderr: "" });
	const { stdout } = await runCommand(["user", "list", "--data-dir", dataDir]);
	expect(stdout.toString()).toBe("alice\n");
});
