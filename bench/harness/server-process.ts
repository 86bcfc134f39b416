/**
 * Servers under test, each a process of its own: what it uses can be told from what the load
 * generator uses.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { endWithRun } from "./interruption.ts";
import { loopWaitSeconds, openFiles, type ProcessUsage, processUsage } from "./process-usage.ts";

/** How often memory is looked at. */
const SAMPLE_MS = 100;
const READY_MS_MAX = 30_000;
const STOP_MS_MAX = 15_000;

export interface ServerProcess {
	readonly url: string;
	/** The WebSocket implementation that answers. */
	readonly transport: string;
	/** Where the Kafka protocol is served, as `host:port`; empty where it is not. */
	readonly kafka: string;
	/** What it uses at the moment; null where the system does not tell. */
	usage(): ProcessUsage | null;
	/** How many files and sockets it has open; null where the system does not tell. */
	openFiles(): number | null;
	/** Seconds for which its event loop has waited for a processor; null where nobody knows. */
	loopWaitSeconds(): number | null;
	/** Begins a measurement; calling what it returns ends it. */
	measure(): () => MeasuredUsage;
	stop(): Promise<void>;
	/** Ends it without giving it the time for anything. */
	kill(): Promise<void>;
}

/** Between the two ends of a measurement; null where the system does not tell. */
export type MeasuredUsage = { cpuSeconds: number; anonymousBytesMax: number } | null;

/** A broker with its data in `dataDir`, on a free port; `options` are as `millrace start` has. */
export function startBrokerProcess(
	dataDir: string,
	options: readonly string[] = [],
): Promise<ServerProcess> {
	const program = fileURLToPath(import.meta.resolve("#bundle/millrace.js"));
	return startServer([
		program,
		"start",
		`--data-dir=${dataDir}`,
		"--websocket=127.0.0.1:0",
		"--kafka=127.0.0.1:0",
		"--log-level=info",
		...options,
	]);
}

/** A server that sends every message back, over the transport that the broker would choose. */
export function startEchoProcess(): Promise<ServerProcess> {
	const program = fileURLToPath(import.meta.resolve("#bundle/echo-server.js"));
	return startServer([program]);
}

/** Starts a program and waits for the line of JSON on stderr that says that it is ready. */
async function startServer(programArguments: readonly string[]): Promise<ServerProcess> {
	const { MILLRACE_TOKEN: _, ...environment } = process.env;
	// What Node was told here holds there, too: `node --cpu-prof` makes a profile of every process.
	const child = endWithRun(
		spawn(process.execPath, [...process.execArgv, ...programArguments], {
			stdio: ["ignore", "ignore", "pipe"],
			env: environment,
		}),
	);
	const ended = once(child, "close");
	const timer = setTimeout(() => child.kill("SIGKILL"), READY_MS_MAX);
	let ready: ReadyLine;
	try {
		ready = await readyLine(child);
	} finally {
		clearTimeout(timer);
	}
	const pid = child.pid as number;
	return {
		url: ready.websocket,
		transport: ready.transport,
		kafka: ready.kafka,
		usage: () => processUsage(pid),
		openFiles: () => openFiles(pid),
		loopWaitSeconds: () => loopWaitSeconds(pid),
		measure: () => measureProcess(pid),
		async stop() {
			child.kill("SIGTERM");
			const cutOff = setTimeout(() => child.kill("SIGKILL"), STOP_MS_MAX);
			await ended;
			clearTimeout(cutOff);
		},
		async kill() {
			child.kill("SIGKILL");
			await ended;
		},
	};
}

interface ReadyLine {
	readonly websocket: string;
	readonly transport: string;
	readonly kafka: string;
}

async function readyLine(child: ChildProcess): Promise<ReadyLine> {
	const said: string[] = [];
	const { stderr } = child;
	if (stderr === null) throw new Error("a server was started without its stderr");
	for await (const line of createInterface({ input: stderr })) {
		said.push(line);
		const message = line.startsWith("{") ? (JSON.parse(line) as Record<string, unknown>) : {};
		if (typeof message.websocket !== "string") continue;
		// What comes later is of no interest, and must not fill the pipe.
		stderr.resume();
		const { websocket, transport, kafka = "" } = message;
		return { websocket, transport: String(transport), kafka: String(kafka) };
	}
	throw new Error(`a server ended before it was ready:\n${said.join("\n")}`);
}

/** Begins a measurement of any process; calling what it returns ends it. */
export function measureProcess(pid: number): () => MeasuredUsage {
	const before = processUsage(pid);
	let anonymousBytesMax = before?.anonymousBytes ?? 0;
	const sample = (): ProcessUsage | null => {
		const usage = processUsage(pid);
		anonymousBytesMax = Math.max(anonymousBytesMax, usage?.anonymousBytes ?? 0);
		return usage;
	};
	// Whoever fails before the end has nothing that waits for it.
	const timer = setInterval(sample, SAMPLE_MS).unref();
	return () => {
		clearInterval(timer);
		const after = sample();
		if (before === null || after === null) return null;
		return { cpuSeconds: after.cpuSeconds - before.cpuSeconds, anonymousBytesMax };
	};
}

/**
 * Anonymous memory once it does not change any more, or after so many seconds of changes; 0 where
 * the system does not tell.
 */
export async function settledBytes(
	server: Pick<ServerProcess, "usage">,
	secondsMax: number,
): Promise<number> {
	const endMs = performance.now() + secondsMax * 1_000;
	let bytes = server.usage()?.anonymousBytes ?? 0;
	while (performance.now() < endMs) {
		await sleep(SAMPLE_MS);
		const before = bytes;
		bytes = server.usage()?.anonymousBytes ?? 0;
		if (bytes === before) break;
	}
	return bytes;
}
