import { spawn } from "node:child_process";
import { connect as connectSocket } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";

import { BrokerProcess, millrace } from "./millrace-process.ts";

/** Bytes of every value in no order that anyone would notice. */
function everyByte(count: number): Uint8Array {
	return Uint8Array.from({ length: count }, (_, index) => Math.imul(index, 2_654_435_761) >>> 24);
}

describe("the command against a broker", () => {
	let broker: BrokerProcess;
	let url: string[];
	beforeAll(async () => {
		broker = await BrokerProcess.start();
		url = ["--url", broker.url];
	});
	afterAll(() => broker.remove());

	const consumed = async (...args: string[]) => {
		const result = await millrace(["consume", ...args, "--exit-at-end", ...url]);
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
		const result = await millrace(["produce", topic, ...url], input);
		expect(result).toMatchObject({ code: 0, stderr: "" });
		expect((await consumed(topic, "--from-beginning")).equals(expected)).toBe(true);
	});

	test("keys, partitions and whole records", async () => {
		await millrace(["topic", "create", "keyed", "--partitions", "4", ...url]);
		const produce = ["produce", "keyed", "--key-separator", "=>", "--json", ...url];
		const result = await millrace(produce, Buffer.from("k=>v=>w\nno key\nk=>second\n"));
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
		await millrace(["produce", "keyed", "--partition", "3", ...url], Buffer.from("there\n"));
		expect((await consumed("keyed", "--partition", "3", "--from-beginning")).toString()).toContain(
			"there\n",
		);
	});

	test("MessagePack goes in as JSON and comes out as JSON", async () => {
		const input = '{"a":[1,2.5,"x"]}\nnull\n"text"\n';
		await millrace(["produce", "packed", "--msgpack", ...url], Buffer.from(input));
		const output = await consumed("packed", "--from-beginning", "--format", "msgpack");
		expect(output.toString()).toBe(input);
		const refused = await millrace(
			["produce", "packed", "--msgpack", ...url],
			Buffer.from("1\n{\n"),
		);
		expect(refused.code).toBe(1);
		expect(refused.stderr).toContain("line 2");
	});

	test("where consuming starts and ends", async () => {
		await millrace(["produce", "numbers", ...url], Buffer.from("0\n1\n2\n3\n"));
		expect((await consumed("numbers", "--offset", "2")).toString()).toBe("2\n3\n");
		expect((await consumed("numbers", "--from-time", "0")).toString()).toBe("0\n1\n2\n3\n");
		expect((await consumed("numbers")).toString()).toBe("");
		const max = await millrace(["consume", "numbers", "--from-beginning", "--max", "2", ...url]);
		expect(max).toMatchObject({ code: 0, stdout: Buffer.from("0\n1\n") });
		const beyond = await millrace(["consume", "numbers", "--offset", "9", "--exit-at-end", ...url]);
		expect(beyond.code).toBe(1);
		expect(beyond.stderr).toContain("OFFSET_OUT_OF_RANGE");
	});

	test("a reader that has enough ends the consumer without a word", async () => {
		const lines = Buffer.from(`${"line\n".repeat(200_000)}`);
		await millrace(["produce", "many", ...url], lines);
		const main = new URL("../../dist/cli/main.js", import.meta.url).pathname;
		const consume = `"$0" "$1" consume many --from-beginning --url "$2"`;
		const script = `${consume} | head -n 1; echo "\${PIPESTATUS[0]}"`;
		const child = spawn("bash", ["-c", script, process.execPath, main, broker.url]);
		let output = "";
		child.stdout.on("data", (chunk) => {
			output += chunk;
		});
		child.stderr.on("data", (chunk) => {
			output += chunk;
		});
		await new Promise((resolve) => child.once("close", resolve));
		expect(output).toBe("line\n0\n");
	});

	test("what cannot be written is a failure of the one who wanted to write", async () => {
		const script = `"$0" "$1" topic list --url "$2" >/dev/full; echo $?`;
		const main = new URL("../../dist/cli/main.js", import.meta.url).pathname;
		const child = spawn("bash", ["-c", script, process.execPath, main, broker.url]);
		let output = "";
		child.stdout.on("data", (chunk) => {
			output += chunk;
		});
		await new Promise((resolve) => child.once("close", resolve));
		expect(output).toBe("1\n");
	});

	test("topics from creation to deletion", async () => {
		const topic = (...args: string[]) => millrace(["topic", ...args, ...url]);
		const largest = "9223372036854775807";
		const created = await topic("create", "life", "--config", `retention.ms=${largest}`);
		expect(created).toMatchObject({
			code: 0,
			stdout: Buffer.from("created life with 1 partition\n"),
		});
		expect(created.stderr).toContain("retention.ms is stored, but");
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
		try {
			const kafka = expect.stringMatching(/^127\.0\.0\.1:[1-9]\d*$/);
			expect(broker.addresses).toMatchObject({ pid: broker.child.pid, kafka });
			const ready = await fetch(`${broker.addresses?.http}/ready`);
			expect(ready.status).toBe(200);
			const socket = new WebSocket(broker.url, "millrace.v1");
			await new Promise((resolve) => socket.once("open", resolve));
			const closed = new Promise((resolve) => socket.once("close", resolve));
			broker.child.kill("SIGTERM");
			expect(await closed).toBe(1001);
			expect(await broker.ended).toMatchObject({ code: 0 });
			expect(broker.addresses).toBeUndefined();
		} finally {
			await broker.remove();
		}
	});

	test("a second signal ends it at once", async () => {
		const broker = await BrokerProcess.start();
		try {
			// Together, so that the second one finds a stop under way; the system may swap them.
			broker.child.kill("SIGTERM");
			broker.child.kill("SIGINT");
			const { code, stderr } = await broker.ended;
			expect([130, 143]).toContain(code);
			expect(stderr).toContain("ending at once");
		} finally {
			await broker.remove();
		}
	});

	test("a second broker on the same data is refused with its own exit code", async () => {
		const broker = await BrokerProcess.start();
		try {
			const args = ["start", "--data-dir", broker.dataDir, "--websocket", "127.0.0.1:0"];
			const second = await millrace(args);
			expect(second.code).toBe(5);
			expect(second.stderr).toContain("DATA_DIRECTORY_IN_USE");
			expect(broker.addresses?.pid).toBe(broker.child.pid);
			expect((await millrace(["verify", "--data-dir", broker.dataDir])).code).toBe(5);
		} finally {
			await broker.remove();
		}
	});

	test("an address that is taken is a failure that leaves nothing behind", async () => {
		const broker = await BrokerProcess.start();
		try {
			const { host } = new URL(broker.url);
			await expect(BrokerProcess.start(["--websocket", host])).rejects.toThrow(/the broker ended/);
		} finally {
			await broker.remove();
		}
	});

	test("a closed stderr does not stop it", async () => {
		const broker = await BrokerProcess.start(["--log-level", "debug"]);
		try {
			broker.child.stderr?.destroy();
			const { port } = new URL(broker.url);
			// Each connection is worth a log line at this level.
			for (let count = 0; count < 20; count++) {
				const socket = new WebSocket(broker.url, "millrace.v1");
				await new Promise((resolve) => socket.once("open", resolve));
				socket.terminate();
			}
			const probe = connectSocket(Number(port), "127.0.0.1");
			await new Promise((resolve) => probe.once("connect", resolve));
			probe.destroy();
			broker.child.kill("SIGTERM");
			expect(await broker.ended).toMatchObject({ code: 0 });
		} finally {
			await broker.remove();
		}
	});
});
