import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, onTestFinished, test } from "vitest";

import { systemClock } from "../src/clock.ts";
import { silentLogger } from "../src/log.ts";
import { notifySocket, ServiceNotifier } from "../src/systemd.ts";
import { BrokerProcess, temporaryDirectory } from "./broker-process.ts";
import { missingPython, pythonBinary } from "./optional-parts.ts";

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
	await expect.poll(() => messages.length, { timeout: 10_000 }).toBe(1);
	messages.length = 0;
	return messages;
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
		await expect.poll(() => messages).toHaveLength(1);
		const { code, stderr } = await broker.stop();
		expect(code).toBe(0);
		expect(stderr).not.toContain("systemd");
		await expect.poll(() => messages).toHaveLength(2);
		expect(messages).toEqual([
			{ text: `READY=1\nSTATUS=serving at ${broker.url}`, pid: broker.pid },
			{ text: expect.stringMatching(/^STOPPING=1\nSTATUS=\w/), pid: broker.pid },
		]);
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
			silentLogger(),
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
