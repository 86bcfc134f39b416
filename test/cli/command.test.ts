import { execFile } from "node:child_process";
import { connect as connectSocket } from "node:net";
import { promisify } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";

import { atEndOfSuite, BrokerProcess, COMMAND_FILE, runCommand } from "../broker-process.ts";

/** Bytes of every value in no order that anyone would notice. */
function everyByte(count: number): Uint8Array {
	return Uint8Array.from({ length: count }, (_, index) => Math.imul(index, 2_654_435_761) >>> 24);
}

/** Runs a script that is given Node, the command's file and a URL as $0, $1 and $2. */
async function shell(script: string, url: string): Promise<{ stdout: string; stderr: string }> {
	return promisify(execFile)("bash", ["-c", script, process.execPath, COMMAND_FILE, url]);
}

describe("the command against a broker", () => {
	let broker: BrokerProcess;
	let url: string[];
	const atEnd = atEndOfSuite();
	beforeAll(async () => {
		broker = await BrokerProcess.start({ atEnd });
		url = ["--url", broker.url];
	});

	const consumed = async (...args: string[]) => {
		const result = await runCommand(["consume", ...args, "--exit-at-end", ...url]);
		expect(result).toMatchObject({ code: 0, stderr: "" });
		return result.stdout;
	};

	test.each([
		["no newline at the end", Buffer.from("a\nb"), Buffer.from("a\nb\n")],
		["empty lines", Buffer.from("\n\na\n"), Buffer.from("\n\na\n")],
		["no UTF-8", Buffer.from([0xff, 0xfe, 0x0a, 0x00, 0x0a]), undefined],
		["nothing", Buffer.alloc(0), undefined],
		["long lines", Buffer.from(`${"x".repeat(900_000)}\n${"y".repeat(900_000)}\n`), undefined],
		["every byte", Buffer.concat([everyByte(300_000), Buffer.from("\n")]), undefined],
	])("what goes in comes out: %s", async (name, input, expected = input) => {
		const topic = `bytes-${name.replaceAll(" ", "-")}`;
		const result = await runCommand(["produce", topic, ...url], { input });
		expect(result).toMatchObject({ code: 0, stderr: "" });
		expect((await consumed(topic, "--from-beginning")).equals(expected)).toBe(true);
	});

	test("keys, partitions and whole records", async () => {
		await runCommand(["topic", "create", "keyed", "--partitions", "4", ...url]);
		const produce = ["produce", "keyed", "--key-separator", "=>", "--json", ...url];
		const result = await runCommand(produce, {
			input: Buffer.from("k=>v=>w\nno key\nk=>second\n"),
		});
		expect(JSON.parse(result.stdout.toString())).toMatchObject({ topic: "keyed", records: 3 });
		const lines = (await consumed("keyed", "--from-beginning", "--json"))
			.toString()
			.trim()
			.split("\n");
		const records = lines.map((line) => JSON.parse(line));
		const ofKey = records.filter(({ key }) => key === "k");
		expect(ofKey.map(({ value }) => value)).toEqual(["v=>w", "second"]);
		expect(new Set(ofKey.map(({ partition }) => partition)).size).toBe(1);
		expect(records.filter(({ key }) => key === null)).toMatchObject([{ value: "no key" }]);
		await runCommand(["produce", "keyed", "--partition", "3", ...url], {
			input: Buffer.from("there\n"),
		});
		expect((await consumed("keyed", "--partition", "3", "--from-beginning")).toString()).toContain(
			"there\n",
		);
	});

	test("MessagePack goes in as JSON and comes out as JSON", async () => {
		const input = '{"a":[1,2.5,"x"]}\nnull\n"text"\n';
		await runCommand(["produce", "packed", "--msgpack", ...url], { input: Buffer.from(input) });
		const output = await consumed("packed", "--from-beginning", "--format", "msgpack");
		expect(output.toString()).toBe(input);
		const refused = await runCommand(["produce", "packed", "--msgpack", ...url], {
			input: Buffer.from("1\n{\n"),
		});
		expect(refused.code).toBe(1);
		expect(refused.stderr).toContain("line 2");
		const garbled = await runCommand(["produce", "packed", "--msgpack", ...url], {
			input: Buffer.from([0x22, 0xff, 0x22, 0x0a]),
		});
		expect(garbled.code).toBe(1);
		expect(garbled.stderr).toContain("line 1: it is not UTF-8");
	});

	test("where consuming starts and ends", async () => {
		await runCommand(["produce", "numbers", ...url], { input: Buffer.from("0\n1\n2\n3\n") });
		expect((await consumed("numbers", "--offset", "2")).toString()).toBe("2\n3\n");
		expect((await consumed("numbers", "--from-time", "0")).toString()).toBe("0\n1\n2\n3\n");
		expect((await consumed("numbers")).toString()).toBe("");
		const max = await runCommand(["consume", "numbers", "--from-beginning", "--max", "2", ...url]);
		expect(max).toMatchObject({ code: 0, stdout: Buffer.from("0\n1\n") });
		const beyond = await runCommand([
			"consume",
			"numbers",
			"--offset",
			"9",
			"--exit-at-end",
			...url,
		]);
		expect(beyond.code).toBe(1);
		expect(beyond.stderr).toContain("OFFSET_OUT_OF_RANGE");
	});

	test("a reader that has enough ends the consumer without a word", async () => {
		const lines = Buffer.from(`${"line\n".repeat(200_000)}`);
		await runCommand(["produce", "many", ...url], { input: lines });
		const consume = `"$0" "$1" consume many --from-beginning --url "$2"`;
		const script = `${consume} | head -n 1; echo "\${PIPESTATUS[0]}"`;
		expect(await shell(script, broker.url)).toEqual({ stdout: "line\n0\n", stderr: "" });
	});

	test("what cannot be written is a failure of the one who wanted to write", async () => {
		const script = `"$0" "$1" topic list --url "$2" >/dev/full; echo $?`;
		const { stdout, stderr } = await shell(script, broker.url);
		expect(stdout).toBe("1\n");
		expect(stderr).toContain("ENOSPC");
	});

	test("topics from creation to deletion", async () => {
		const topic = (...args: string[]) => runCommand(["topic", ...args, ...url]);
		const largest = "9223372036854775807";
		const created = await topic("create", "life", "--config", `retention.ms=${largest}`);
		expect(created).toMatchObject({
			code: 0,
			stdout: Buffer.from("created life with 1 partition\n"),
		});
		expect(created.stderr).toBe("");
		expect((await topic("create", "life")).code).toBe(1);
		expect((await topic("create", "life", "--if-not-exists")).code).toBe(0);
		expect((await topic("create", "../life")).stderr).toContain("INVALID_TOPIC_EXCEPTION");
		const unknown = await topic("create", "other", "--config", "retention.mss=1");
		expect(unknown.stderr).toContain("did you mean retention.ms?");
		expect((await topic("alter", "life", "--partitions", "3")).code).toBe(0);
		expect((await topic("alter", "life", "--partitions", "2")).code).toBe(1);
		const { stdout } = await topic("describe", "life", "--json");
		const described = JSON.parse(stdout.toString());
		expect(described.topic.partitions).toBe(3);
		expect(described.partitions).toHaveLength(3);
		expect(described.topic.configs).toContainEqual(
			expect.objectContaining({ name: "retention.ms", value: largest, source: "topic" }),
		);
		expect((await topic("list")).stdout.toString().split("\n")).toContain("life");
		expect((await topic("delete", "life")).code).toBe(2);
		expect((await topic("delete", "life", "--yes")).code).toBe(0);
		expect((await topic("describe", "life")).code).toBe(1);
	});
});

describe("the broker as a process", () => {
	test("addresses.json is there while it serves, and SIGTERM ends it in order", async () => {
		const broker = await BrokerProcess.start();
		const kafka = expect.stringMatching(/^127\.0\.0\.1:[1-9]\d*$/);
		expect(broker.addresses).toMatchObject({ pid: broker.pid, kafka });
		const ready = await fetch(`${broker.http}/ready`);
		expect(ready.status).toBe(200);
		const socket = new WebSocket(broker.url, "millrace.v1");
		await new Promise((resolve) => socket.once("open", resolve));
		const closed = new Promise((resolve) => socket.once("close", resolve));
		broker.signal("SIGTERM");
		expect(await closed).toBe(1001);
		expect(await broker.ended).toMatchObject({ code: 0 });
		expect(broker.addresses).toBeUndefined();
	});

	test("a second signal ends it at once", async () => {
		const broker = await BrokerProcess.start();
		// Both at once, so that the second one finds a stop under way; the system may swap them.
		broker.signal("SIGSTOP");
		broker.signal("SIGTERM");
		broker.signal("SIGINT");
		broker.signal("SIGCONT");
		const { code, stderr } = await broker.ended;
		expect([130, 143]).toContain(code);
		expect(stderr).toContain("ending at once");
	});

	test("a second broker on the same data is refused with its own exit code", async () => {
		const broker = await BrokerProcess.start();
		const args = ["start", "--data-dir", broker.dataDir, "--websocket", "127.0.0.1:0"];
		const second = await runCommand(args);
		expect(second.code).toBe(5);
		expect(second.stderr).toContain("DATA_DIRECTORY_IN_USE");
		expect(broker.addresses?.pid).toBe(broker.pid);
		expect((await runCommand(["repair", "--data-dir", broker.dataDir, "--yes"])).code).toBe(5);
	});

	test("an address that is taken is a failure that leaves nothing behind", async () => {
		const broker = await BrokerProcess.start();
		const { host } = new URL(broker.url);
		await expect(BrokerProcess.start({ flags: ["--websocket", host] })).rejects.toThrow(
			/the broker ended/,
		);
	});

	test("a closed stderr does not stop it", async () => {
		const broker = await BrokerProcess.start({ flags: ["--log-level", "debug"] });
		broker.closeStderr();
		// Each connection is worth a log line at this level.
		for (let count = 0; count < 20; count++) {
			const socket = new WebSocket(broker.url, "millrace.v1");
			await new Promise((resolve) => socket.once("open", resolve));
			socket.terminate();
		}
		const probe = connectSocket(broker.port, "127.0.0.1");
		await new Promise((resolve) => probe.once("connect", resolve));
		probe.destroy();
		expect(await broker.stop()).toMatchObject({ code: 0 });
	});
});
