/** The commands of docs/operating.md, as they stand, beside a broker that runs. */
import { execFile } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";

import { connect } from "../../src/client/index.ts";
import { ALL_OPTIONS, TOPIC_DEFAULT_OPTIONS } from "../../src/config/options.ts";
import { CONFIGURATION } from "../../src/topics/configuration-table.ts";
import { BUILT_IN_DEFAULTS, DEFAULT_OPTIONS } from "../../src/topics/topic-defaults.ts";
import { BrokerProcess, COMMAND_FILE, temporaryDirectory } from "../broker-process.ts";

const text = readFileSync(new URL("../../docs/operating.md", import.meta.url), "utf8");
const commands = [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map(
	([, command]) => command as string,
);

/** Where what `millrace` is on a user's path lies: it talks to the broker at $BROKER_URL. */
function pathWithMillrace(): string {
	const directory = join(temporaryDirectory(), "bin");
	mkdirSync(directory);
	const file = join(directory, "millrace");
	const address = `case "$1" in topic|quota|client) set -- "$@" --url "$BROKER_URL" ;; esac`;
	const run = `exec ${process.execPath} ${COMMAND_FILE} "$@"`;
	writeFileSync(file, `#!/bin/sh\n${address}\n${run}\n`);
	chmodSync(file, 0o755);
	return `${directory}:${process.env.PATH}`;
}

// Dozens of processes follow one another: on a busy machine that takes minutes.
test("every command of the page does what it says", { timeout: 600_000 }, async () => {
	let broker = await BrokerProcess.start();
	const { dataDir } = broker;
	const client = await connect(broker.url);
	await client.topics.create("orders", { partitions: 2 });
	await client.producer().send({ topic: "orders", value: "kept" });
	await client.close();
	// Without what tells the tests how to run: options of nobody, which are warned of.
	const own = Object.entries(process.env).filter(([name]) => !name.startsWith("MILLRACE_"));
	const env = {
		...Object.fromEntries(own),
		PATH: pathWithMillrace(),
		DATA_DIR: dataDir,
		BACKUP_DIR: join(temporaryDirectory(), "backup"),
	};
	const said: string[] = [];
	for (const command of commands) {
		if (/ (repair|downgrade) /.test(command)) await broker.stop();
		else if (broker.addresses === undefined) broker = await BrokerProcess.start({ dataDir });
		// A port that another broker of this machine has is a warning, not a failure.
		const { stdout } = await promisify(execFile)("sh", ["-euc", command], {
			env: { ...env, BROKER_URL: broker.url },
		});
		said.push(stdout);
	}
	const [doctor, configuration, slow, memory, disk, topic, repaired] = said;
	const [backup, verified, quotas, downgraded] = said.slice(-4);
	expect(doctor).toMatch(/^ok +clock +the newest segment is of /m);
	expect(doctor).toMatch(/^ok +memory +RssAnon [\d.]+ MiB of pid \d+/m);
	expect(configuration).toMatch(/^the configuration is valid\noption +value +from +changes\n/);
	expect(slow).toMatch(/^id +protocol +principal +client +address +pending +lag +slow +since\n/);
	expect(memory).toMatch(/^RssAnon:\s+\d+ kB\nRssFile:\s+\d+ kB\nRssShmem:/);
	expect(disk).toMatch(/^orders +2 +1 /m);
	expect(topic).toMatch(/^retention\.ms +86400000 +topic$/m);
	expect(repaired).toMatch(/nothing|no damage/i);
	expect(backup).toContain(`copied to ${env.BACKUP_DIR} and opened`);
	expect(verified).toContain("1 records");
	expect(quotas).toMatch(/^alice +producer_byte_rate +1048576$/m);
	expect(quotas).toMatch(/^removed 2$/m);
	expect(downgraded).toBe(`${dataDir} has format 1\n`);
	const restored = await BrokerProcess.start({ dataDir: env.BACKUP_DIR });
	const reader = await connect(restored.url);
	expect((await reader.topics.list()).map(({ name }) => name)).toContain("orders");
	await reader.close();
	await restored.stop();
});

test("the page lists every default of topics, the strongest option first", () => {
	const rows = [...text.matchAll(/^\| `([^`]+)` \| (`.*`) \| `?([^|`]*)`? \|$/gm)];
	const listed = rows.map(([, setting, names, value]) => [setting, names, value?.trim()]);
	const options = new Map<string, string[]>();
	for (const { name } of TOPIC_DEFAULT_OPTIONS) {
		const setting = DEFAULT_OPTIONS.get(name)?.setting as string;
		options.set(setting, [...(options.get(setting) ?? []), `\`${name}\``]);
	}
	const expected = [...options].map(([setting, names]) => [
		setting,
		names.join(", "),
		BUILT_IN_DEFAULTS.valueOf(setting),
	]);
	expect(listed).toEqual(expected);
});

test("every option and topic configuration that the page names is one", () => {
	const named = [...text.matchAll(/`([a-z]+(?:\.[a-z]+)+)`/g)].map(([, name]) => name as string);
	const ofClients = ["delivery.timeout.ms"];
	const others = new Set(["memory.current", ...ofClients]);
	const options = new Set(ALL_OPTIONS.map(({ name }) => name));
	const unknown = named.filter(
		(name) =>
			!others.has(name) &&
			!options.has(name) &&
			!CONFIGURATION.has(name) &&
			!/^vm\.|\.(sh|md|json|redb|properties|yaml)$/.test(name),
	);
	expect(unknown).toEqual([]);
	expect(named.length).toBeGreaterThan(15);
});
