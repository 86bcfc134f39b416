import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pino } from "pino";
import { describe, expect, onTestFinished, test } from "vitest";
import { connect } from "../src/client/index.ts";
import { systemClock } from "../src/clock.ts";
import { notifySocket, ServiceNotifier, watchdogUs } from "../src/systemd.ts";
import { BrokerProcess, COMMAND_FILE, temporaryDirectory } from "./broker-process.ts";
import { HeldStart } from "./held-start.ts";
import { RawKafkaClient } from "./kafka/raw-client.ts";
import { missingPython, pythonBinary, RUNS_LONG_TESTS, TOO_LONG } from "./optional-parts.ts";
import { recordBatch } from "./record-batch.ts";

/** What Node cannot: receives messages and prints each as JSON with the process that it is from. */
const RECEIVER = `
import json, os, socket, struct, sys
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
address = sys.argv[1]
receiver.bind("\\0" + address[1:] if address.startswith("@") else address)
print(json.dumps({"text": "listening", "pid": os.getpid()}), flush=True)
while True:
    text, ancillary, _, _ = receiver.recvmsg(65536, 1024)
    pid, _, _ = struct.unpack("3i", ancillary[0][2])
    print(json.dumps({"text": text.decode(), "pid": pid}), flush=True)
`;

interface Message {
	text: string;
	pid: number;
}

/** Listens at `address` and gathers what comes. */
async function listen(python: string, address: string): Promise<Message[]> {
	const child: ChildProcess = spawn(python, ["-c", RECEIVER, address], {
		stdio: ["ignore", "pipe", "inherit"],
	});
	onTestFinished(async () => {
		child.kill("SIGKILL");
		await once(child, "close");
	});
	const messages: Message[] = [];
	createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", (line) =>
		messages.push(JSON.parse(line)),
	);
	await expect.poll(() => messages.length).toBe(1);
	messages.length = 0;
	return messages;
}

/** What a process does: "T" is nothing, until it is told to go on. */
function stateOf(pid: number): string | undefined {
	return /^State:\s+(\w)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
}

describe("a service manager", () => {
	test.for([
		["a path", (directory: string) => join(directory, "notify")],
		["an abstract name", (directory: string) => `@${directory}/notify`],
	] as const)("that listens at %s hears from the broker itself", async ([, place], context) => {
		const python = pythonBinary() ?? context.skip(missingPython());
		if (process.platform !== "linux") context.skip("systemd and its sockets are Linux's");
		const directory = temporaryDirectory();
		const address = place(directory);
		const messages = await listen(python, address);
		const broker = await BrokerProcess.start({
			dataDir: join(directory, "data"),
			environment: { NOTIFY_SOCKET: address },
		});
		// One that takes long is given more time, whatever it is that takes it.
		const heard = () => messages.filter(({ text }) => !text.startsWith("EXTEND_TIMEOUT_USEC="));
		await expect.poll(heard).toHaveLength(1);
		broker.signal("SIGHUP");
		await expect.poll(heard).toHaveLength(3);
		const { code, stderr } = await broker.stop();
		expect(code).toBe(0);
		expect(stderr).not.toContain("systemd");
		await expect.poll(heard).toHaveLength(4);
		expect(heard()).toEqual([
			{ text: `READY=1\nSTATUS=serving at ${broker.url}`, pid: broker.pid },
			{ text: expect.stringMatching(/^RELOADING=1\nMONOTONIC_USEC=\d+$/), pid: broker.pid },
			{ text: `READY=1\nSTATUS=serving at ${broker.url}`, pid: broker.pid },
			{ text: expect.stringMatching(/^STOPPING=1\nSTATUS=\w/), pid: broker.pid },
		]);
	});

	test("hears of a stop that comes during the start, and of nothing behind it", async (context) => {
		const python = pythonBinary() ?? context.skip(missingPython());
		if (process.platform !== "linux") context.skip("systemd and its sockets are Linux's");
		const address = join(temporaryDirectory(), "notify");
		const messages = await listen(python, address);
		const start = await HeldStart.begin({ NOTIFY_SOCKET: address });
		start.signal("SIGTERM");
		await expect.poll(() => messages.length).toBe(1);
		expect(await start.release()).toMatchObject({ code: 0 });
		expect(messages.map(({ text }) => text)).toEqual([expect.stringMatching(/^STOPPING=1\n/)]);
	});

	test("with a watchdog hears all the time that the event loop turns", async (context) => {
		const python = pythonBinary() ?? context.skip(missingPython());
		if (process.platform !== "linux") context.skip("systemd and its sockets are Linux's");
		const address = join(temporaryDirectory(), "notify");
		const messages = await listen(python, address);
		const broker = await BrokerProcess.start({
			environment: { NOTIFY_SOCKET: address, WATCHDOG_USEC: "200000" },
		});
		const told = () => messages.filter(({ text }) => text === "WATCHDOG=1").length;
		/** Everything that was sent before has come when this has. */
		const upToHere = async (text: string) => {
			const program = "import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)";
			const sent = spawnSync(python, ["-c", `${program}; s.sendto(b"${text}", "${address}")`]);
			expect(sent.status, `${sent.stderr}`).toBe(0);
			await expect.poll(() => messages.some((message) => message.text === text)).toBe(true);
		};
		await expect.poll(told).toBeGreaterThan(3);
		broker.signal("SIGSTOP");
		await expect.poll(() => stateOf(broker.pid)).toBe("T");
		await upToHere("it stands still");
		const before = told();
		await new Promise((resolve) => setTimeout(resolve, 500));
		await upToHere("it has stood still");
		expect(told()).toBe(before);
		broker.signal("SIGCONT");
		await expect.poll(told).toBeGreaterThan(before);
		expect((await broker.stop()).code).toBe(0);
	});

	test("asks for a watchdog by variables that name this process", () => {
		expect(watchdogUs({}, 7)).toBe(undefined);
		expect(watchdogUs({ WATCHDOG_USEC: "30000000" }, 7)).toBe(30_000_000);
		expect(watchdogUs({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "7" }, 7)).toBe(30_000_000);
		expect(watchdogUs({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "8" }, 7)).toBe(undefined);
		expect(watchdogUs({ WATCHDOG_USEC: "soon" }, 7)).toBe(undefined);
	});

	test("that is not there costs a line in the log", async () => {
		const directory = temporaryDirectory();
		const broker = await BrokerProcess.start({
			dataDir: join(directory, "data"),
			environment: { NOTIFY_SOCKET: join(directory, "nobody") },
		});
		const { code, stderr } = await broker.stop();
		expect(code).toBe(0);
		expect(stderr).toContain("systemd could not be told");
		expect(stderr).toContain(join(directory, "nobody"));
	});

	test("is not looked for where none is named", () => {
		expect(notifySocket(undefined)).toBe(undefined);
		expect(notifySocket("")).toBe(undefined);
	});
});

/** Partitions that are recovered, and how much each has that no flush has reached. */
const PARTITIONS = 256;
const UNFLUSHED_BYTES = 1_000_000;
/** In one request. */
const BATCHES = 16;
/** A processor that is somebody else's for most of the time. */
const [RUNS_MS, STANDS_MS] = [20, 980];
/** What a unit gives a start that says nothing: systemd's DefaultTimeoutStartSec. */
const START_MS_MAX = 90_000;
/** After so many messages it has been slow for long enough. */
const EXTENDED_MIN = 2;

describe("a broker that is started after kill -9 with much that was not flushed", () => {
	/** A directory with all of that in it. */
	async function killedDirectory(): Promise<string> {
		const broker = await BrokerProcess.start();
		const client = await connect(broker.url);
		const configs = { "flush.messages": "1000000" };
		await client.topics.create("unflushed", { partitions: PARTITIONS, configs });
		await client.close();
		const kafka = await RawKafkaClient.connect(Number(broker.kafka?.split(":").at(-1)));
		const records = recordBatch([randomBytes(UNFLUSHED_BYTES)]);
		for (let first = 0; first < PARTITIONS; first += BATCHES) {
			const indexes = Array.from({ length: BATCHES }, (_, index) => first + index);
			const partitionData = indexes.map((index) => ({ index, records }));
			const topicData = [{ name: "unflushed", partitionData }];
			const request = { transactionalId: null, acks: 1, timeoutMs: 60_000, topicData };
			await kafka.request("Produce", 9, request);
		}
		await broker.kill();
		await kafka.close();
		return broker.dataDir;
	}

	/** Lets a process run for a moment now and then, until what is returned is called. */
	function slowDown(child: ChildProcess): () => void {
		let isStanding = false;
		let timer: NodeJS.Timeout | undefined;
		const turn = () => {
			child.kill(isStanding ? "SIGCONT" : "SIGSTOP");
			isStanding = !isStanding;
			timer = setTimeout(turn, isStanding ? STANDS_MS : RUNS_MS);
		};
		turn();
		return () => {
			clearTimeout(timer);
			child.kill("SIGCONT");
		};
	}

	/** Starts a broker and does not wait for it. */
	function spawnBroker(dataDir: string, address: string): ChildProcess {
		const flags = ["--data-dir", dataDir, "--websocket", "127.0.0.1:0", "--kafka", "127.0.0.1:0"];
		const child = spawn(process.execPath, [COMMAND_FILE, "start", ...flags], {
			stdio: "ignore",
			env: { ...process.env, NOTIFY_SOCKET: address },
		});
		const ended = once(child, "close");
		onTestFinished(async () => {
			child.kill("SIGKILL");
			await ended;
		});
		return child;
	}

	/** What one said of its partitions, again and again, until it was ready. */
	async function startSlowly(python: string, dataDir: string): Promise<number[]> {
		const address = join(temporaryDirectory(), "notify");
		const messages = await listen(python, address);
		const child = spawnBroker(dataDir, address);
		const goOn = slowDown(child);
		let deadlineMs = performance.now() + START_MS_MAX;
		const opened: number[] = [];
		for (let seen = 0; ; seen++) {
			await expect.poll(() => messages.length, { timeout: 300_000 }).toBeGreaterThan(seen);
			const [first, status = ""] = (messages[seen] as Message).text.split("\n");
			// A service manager would have ended it.
			expect(performance.now()).toBeLessThan(deadlineMs);
			if (first === "READY=1") break;
			const [, extendedUs] = /^EXTEND_TIMEOUT_USEC=(\d+)$/.exec(first ?? "") ?? [];
			deadlineMs = performance.now() + Number(extendedUs) / 1_000;
			if (status === "STATUS=opening the data directory") continue;
			const [, done, all] = /^STATUS=recovering: (\d+) of (\d+) partitions$/.exec(status) ?? [];
			expect(Number(all)).toBeGreaterThanOrEqual(PARTITIONS);
			opened.push(Number(done));
			if (opened.length === EXTENDED_MIN) goOn();
		}
		goOn();
		return opened;
	}

	test("is given more time until it is ready", { timeout: 600_000 }, async (context) => {
		if (!RUNS_LONG_TESTS) context.skip(TOO_LONG);
		const python = pythonBinary() ?? context.skip(missingPython());
		if (process.platform !== "linux") context.skip("systemd and its sockets are Linux's");
		let dataDir = "";
		let opened: number[] = [];
		// A busy machine stops it too late at times, and it is ready before it has had to say much.
		while (opened.length < EXTENDED_MIN) {
			dataDir = await killedDirectory();
			opened = await startSlowly(python, dataDir);
		}
		// It gets on from one to the next.
		expect(opened).toEqual([...new Set(opened)].sort((left, right) => left - right));
		const { websocket } = JSON.parse(readFileSync(join(dataDir, "addresses.json"), "utf8"));
		const client = await connect(websocket);
		const last = await client.offsets.find("unflushed", PARTITIONS - 1, "latest");
		expect(last).toBe(1);
		await client.close();
	});
});

describe("a long start", () => {
	/** A notifier whose clock and socket are the test's. */
	function notifier(send: (message: string) => Promise<void> = async () => undefined) {
		const sent: string[] = [];
		let nowMs = 0;
		const clock = { ...systemClock, monotonicMs: () => nowMs };
		const service = new ServiceNotifier(
			async (message) => {
				await send(message);
				sent.push(message);
			},
			clock,
			pino({ level: "silent" }),
		);
		const passMs = async (ms: number) => {
			nowMs += ms;
			await new Promise((resolve) => setImmediate(resolve));
		};
		return { service, sent, passMs };
	}

	test("is given more time while it gets on, now and then", async () => {
		const { service, sent, passMs } = notifier();
		for (let second = 0; second <= 20; second++) {
			service.recovering(second * 10, 1_000);
			await passMs(1_000);
		}
		expect(sent).toEqual(
			[0, 50, 100, 150, 200].map(
				(opened) =>
					`EXTEND_TIMEOUT_USEC=120000000\nSTATUS=recovering: ${opened} of 1000 partitions`,
			),
		);
	});

	test("is given no more when it hangs", async () => {
		const { service, sent, passMs } = notifier();
		for (let second = 0; second <= 600; second++) {
			service.recovering(7, 8);
			await passMs(1_000);
		}
		expect(sent).toHaveLength(1);
		service.recovering(8, 8);
		await passMs(0);
		expect(sent).toHaveLength(2);
	});

	test("is given no more, and never ready, once it stops", async () => {
		const { service, sent, passMs } = notifier();
		service.recovering(1, 8);
		service.stopping();
		await passMs(60_000);
		service.recovering(2, 8);
		service.ready("serving");
		service.reloading(1n);
		await passMs(0);
		expect(sent).toEqual([
			expect.stringMatching(/^EXTEND_TIMEOUT_USEC=/),
			expect.stringMatching(/^STOPPING=1\n/),
		]);
	});

	test("is told in order, also where sending takes long or fails", async () => {
		let fails = true;
		const { service, sent, passMs } = notifier(async () => {
			await new Promise((resolve) => setImmediate(resolve));
			if (fails) throw new Error("nobody listens");
		});
		service.recovering(1, 2);
		await passMs(0);
		await passMs(0);
		await passMs(0);
		fails = false;
		service.ready("serving");
		service.stopping();
		await expect.poll(() => sent.length).toBe(2);
		expect(sent[0]).toBe("READY=1\nSTATUS=serving");
		expect(sent[1]).toMatch(/^STOPPING=1\n/);
	});
});
