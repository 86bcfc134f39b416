/**
 * The command as users run it: built, in a process of its own. A broker has a directory of its own
 * beside it, so that a test can kill it, stop it, look at its memory and start it again.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, onTestFinished } from "vitest";

import { reservePort } from "./ports.ts";

/** What `bin.millrace` runs. */
export const COMMAND_FILE = fileURLToPath(new URL("../dist/bundle/millrace.js", import.meta.url));

const START_MS_MAX = 180_000;

/** Has something done at an end: by default that of the test. */
export type AtEnd = (cleanup: () => void | Promise<void>) => void;

/**
 * For what hooks of a suite, or of a file, begin: to be called before its own hooks. What was begun
 * last is ended first.
 */
export function atEndOfSuite(): AtEnd {
	const cleanups: Parameters<AtEnd>[0][] = [];
	afterAll(async () => {
		for (const cleanup of cleanups) await cleanup();
	});
	return (cleanup) => cleanups.unshift(cleanup);
}

export interface CommandOptions {
	/** Its stdin. */
	readonly input?: Uint8Array;
	/** The `node` to run it with; default: this one. */
	readonly node?: string;
	/** What `node` is told before the program. */
	readonly nodeFlags?: readonly string[];
	/** Number of the user who runs it, and of a group; only root may say who. */
	readonly user?: number;
	/** Variables beside those of this process. */
	readonly environment?: Readonly<Record<string, string>>;
}

export interface BrokerProcessOptions extends Omit<CommandOptions, "input"> {
	/** Default: a new one, removed at the end. */
	readonly dataDir?: string;
	/** Of WebSocket. Default: one that nobody else gets until the end. */
	readonly port?: number;
	/** Further flags of `millrace start`; they override those that are given here. */
	readonly flags?: readonly string[];
	/** When to kill it if it still runs. */
	readonly atEnd?: AtEnd;
}

/** How a process ended. */
export interface Ending {
	readonly code: number | null;
	readonly signal: NodeJS.Signals | null;
	readonly stdout: Buffer;
	readonly stderr: string;
}

/** What a broker says of itself in its data directory. */
export interface Addresses {
	readonly pid: number;
	readonly websocket: string;
	readonly http: string;
	/** "HOST:PORT"; null where it does not serve Kafka clients. */
	readonly kafka: string | null;
}

/** A running broker. */
export class BrokerProcess {
	readonly dataDir: string;
	/** Where WebSocket clients connect. */
	readonly url: string;
	readonly port: number;
	readonly http: string;
	/** "HOST:PORT" for Kafka clients; null where it does not serve them. */
	readonly kafka: string | null;
	readonly pid: number;
	/** Resolves when it has ended. */
	readonly ended: Promise<Ending>;
	readonly #child: ChildProcess;

	private constructor(
		dataDir: string,
		{ pid, websocket, http, kafka }: Addresses,
		child: ChildProcess,
		ended: Promise<Ending>,
	) {
		this.dataDir = dataDir;
		this.url = websocket;
		this.port = Number(new URL(websocket).port);
		this.http = http;
		this.kafka = kafka;
		this.pid = pid;
		this.ended = ended;
		this.#child = child;
	}

	/** Resolves when it serves. Rejects with what it wrote to stderr when it ends instead. */
	static async start(options: BrokerProcessOptions = {}): Promise<BrokerProcess> {
		const { atEnd = onTestFinished, flags = [] } = options;
		const dataDir = options.dataDir ?? join(temporaryDirectory(atEnd), "data");
		const port = options.port ?? (await reservePort(atEnd));
		const [websocket, kafka] = [port, await reservePort(atEnd)].map((each) => `127.0.0.1:${each}`);
		const listeners = ["--websocket", websocket as string, "--kafka", kafka as string];
		const [child, ended] = spawnCommand(
			["start", "--data-dir", dataDir, ...listeners, ...flags],
			options,
		);
		atEnd(async () => {
			child.kill("SIGKILL");
			await ended;
		});
		const addresses = await Promise.race([
			addressesOf(dataDir, child.pid),
			ended.then(({ code, signal, stderr }) => {
				throw new Error(`the broker ended with ${code ?? signal}: ${stderr}`);
			}),
		]);
		return new BrokerProcess(dataDir, addresses, child, ended);
	}

	/** What `addresses.json` says now; undefined when there is none. */
	get addresses(): Addresses | undefined {
		return readAddresses(this.dataDir);
	}

	/** Sends a signal without waiting for what it does. */
	signal(name: NodeJS.Signals): void {
		this.#child.kill(name);
	}

	/** Stops it on all of its threads, until it is killed; resolves when it stands still. */
	async pause(): Promise<void> {
		this.#child.kill("SIGSTOP");
		while (!readFileSync(`/proc/${this.pid}/stat`, "utf8").includes(") T ")) await sleep(1);
	}

	/** Reads what it writes to stderr no more, as a log collector that has died. */
	closeStderr(): void {
		this.#child.stderr?.destroy();
	}

	/** Ends it by `kill -9`. */
	async kill(): Promise<void> {
		this.#child.kill("SIGKILL");
		await this.ended;
	}

	/** Asks it to end and tells how it did. */
	stop(): Promise<Ending> {
		this.#child.kill("SIGTERM");
		return this.ended;
	}

	/** The process's resident anonymous memory in bytes: heaps and buffers, no mapped files. */
	anonymousBytes(): number {
		const status = readFileSync(`/proc/${this.pid}/status`, "utf8");
		const kibibytes = /^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1];
		if (kibibytes === undefined) throw new Error("the kernel does not tell RssAnon");
		return Number(kibibytes) * 1_024;
	}
}

/** Runs one command to its end. */
export async function runCommand(
	commandLine: readonly string[],
	options: CommandOptions = {},
): Promise<Ending> {
	return spawnCommand(commandLine, options)[1];
}

/** A directory that is removed at the end. */
export function temporaryDirectory(atEnd: AtEnd = onTestFinished): string {
	const directory = mkdtempSync(join(tmpdir(), "millrace-test-"));
	atEnd(() => rmSync(directory, { recursive: true, force: true }));
	return directory;
}

function spawnCommand(
	commandLine: readonly string[],
	options: CommandOptions,
): [ChildProcess, Promise<Ending>] {
	const { input = new Uint8Array(0), node = process.execPath, environment = {}, user } = options;
	const child = spawn(node, [...(options.nodeFlags ?? []), COMMAND_FILE, ...commandLine], {
		env: { ...process.env, ...environment },
		...(user === undefined ? {} : { uid: user, gid: user }),
	});
	// A command that fails may not read all of its input.
	child.stdin.on("error", () => undefined);
	child.stdin.end(input);
	const stdout: Buffer[] = [];
	const stderr: Buffer[] = [];
	child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
	child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
	const ended = new Promise<Ending>((resolve, reject) => {
		child.on("error", reject);
		child.on("close", (code, signal) => {
			const text = Buffer.concat(stderr).toString();
			resolve({ code, signal, stdout: Buffer.concat(stdout), stderr: text });
		});
	});
	return [child, ended];
}

/** What the file says, whole as it is renamed into place; undefined when there is none. */
function readAddresses(dataDir: string): Addresses | undefined {
	try {
		return JSON.parse(readFileSync(join(dataDir, "addresses.json"), "utf8"));
	} catch (error) {
		// A broker that starts takes away what one that was killed left behind.
		if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
		throw error;
	}
}

/** What addresses.json says once it is of process `pid`: one before it may have been killed. */
async function addressesOf(dataDir: string, pid: number | undefined): Promise<Addresses> {
	for (const deadlineMs = Date.now() + START_MS_MAX; Date.now() < deadlineMs; await sleep(10)) {
		const addresses = readAddresses(dataDir);
		if (addresses !== undefined && addresses.pid === pid) return addresses;
	}
	throw new Error(`the broker did not come up in ${START_MS_MAX} ms`);
}

/** Command lines of processes that name a directory; none where the system does not tell. */
export function processesNaming(directory: string): string[] {
	if (process.platform !== "linux") return [];
	const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
	return pids.map(commandLineOf).filter((line) => line.includes(directory));
}

function commandLineOf(pid: string): string {
	try {
		return readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ");
	} catch {
		// It has ended since.
		return "";
	}
}
