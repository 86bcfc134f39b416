/**
 * A broker as users run it: the built command in a process of its own, on a directory of its own,
 * so that a test can kill it, stop it, look at its memory and start it again.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

/** What `bin.millrace` runs. */
export const COMMAND_FILE = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));

const START_MS_MAX = 20_000;

/** Whoever else runs brokers on this machine may have the port that is Kafka's own. */
const FREE_ADDRESS = "127.0.0.1:0";

/**
 * Has something done at an end: by default of the test, which vitest does not offer to hooks of a
 * suite. They pass a function of their own.
 */
export type AtEnd = (cleanup: () => void | Promise<void>) => void;

export interface BrokerProcessOptions {
	readonly dataDir: string;
	/** 0 (default) picks a free one. */
	readonly port?: number;
	/** Further flags of `millrace start`. */
	readonly flags?: readonly string[];
	/** The `node` to run it with; default: this one. */
	readonly node?: string;
	/** Variables beside those of this process. */
	readonly environment?: Readonly<Record<string, string>>;
	/** When to kill it if it still runs. */
	readonly atEnd?: AtEnd;
}

/** How a process ended. */
export interface Ending {
	readonly code: number | null;
	readonly signal: NodeJS.Signals | null;
	/** What it wrote to stderr. */
	readonly stderr: string;
}

/** A running broker. */
export class BrokerProcess {
	readonly dataDir: string;
	/** Where clients connect. */
	readonly url: string;
	readonly port: number;
	/** "HOST:PORT" for Kafka clients; null where it does not serve them. */
	readonly kafka: string | null;
	readonly pid: number;
	readonly #child: ChildProcess;
	readonly #ended: Promise<Ending>;

	private constructor(
		dataDir: string,
		addresses: Addresses,
		child: ChildProcess,
		ended: Promise<Ending>,
	) {
		this.dataDir = dataDir;
		this.url = addresses.websocket;
		this.port = Number(new URL(this.url).port);
		this.kafka = addresses.kafka;
		this.pid = child.pid as number;
		this.#child = child;
		this.#ended = ended;
	}

	/** Resolves when it serves. Rejects with what it wrote to stderr when it ends instead. */
	static async start(options: BrokerProcessOptions): Promise<BrokerProcess> {
		const { dataDir, port = 0, flags = [], node = process.execPath } = options;
		const { atEnd = onTestFinished, environment = {} } = options;
		const address = `127.0.0.1:${port}`;
		const [child, ended] = spawnCommand(
			["start", "--data-dir", dataDir, "--websocket", address, "--kafka", FREE_ADDRESS, ...flags],
			node,
			environment,
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

	/** Sends a signal without waiting for what it does. */
	signal(name: NodeJS.Signals): void {
		this.#child.kill(name);
	}

	/** Ends it by `kill -9`. */
	async kill(): Promise<void> {
		this.#child.kill("SIGKILL");
		await this.#ended;
	}

	/** Asks it to end and tells how it did. */
	stop(): Promise<Ending> {
		this.#child.kill("SIGTERM");
		return this.#ended;
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
	{ node = process.execPath } = {},
): Promise<Ending> {
	return spawnCommand(commandLine, node)[1];
}

/** A directory that is removed at the end. */
export function temporaryDirectory(atEnd: AtEnd = onTestFinished): string {
	const directory = mkdtempSync(join(tmpdir(), "millrace-promise-"));
	atEnd(() => rmSync(directory, { recursive: true, force: true }));
	return directory;
}

function spawnCommand(
	commandLine: readonly string[],
	node: string,
	environment: Readonly<Record<string, string>> = {},
): [ChildProcess, Promise<Ending>] {
	const child = spawn(node, [COMMAND_FILE, ...commandLine], {
		stdio: ["ignore", "ignore", "pipe"],
		env: { ...process.env, ...environment },
	});
	let stderr = "";
	child.stderr?.setEncoding("utf8").on("data", (text: string) => {
		stderr += text;
	});
	const ended = new Promise<Ending>((resolve, reject) => {
		child.on("error", reject);
		child.on("close", (code, signal) => resolve({ code, signal, stderr }));
	});
	return [child, ended];
}

/** What a broker says of itself in its data directory. */
interface Addresses {
	readonly pid: number;
	readonly websocket: string;
	readonly kafka: string | null;
}

/** What the file says, whole as it is renamed into place; undefined when there is none. */
function readAddresses(file: string): Addresses | undefined {
	try {
		return JSON.parse(readFileSync(file, "utf8"));
	} catch (error) {
		// A broker that starts takes away what one that was killed left behind.
		if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
		throw error;
	}
}

/** What addresses.json says once it is of process `pid`: one before it may have been killed. */
async function addressesOf(dataDir: string, pid: number | undefined): Promise<Addresses> {
	const file = join(dataDir, "addresses.json");
	for (const deadlineMs = Date.now() + START_MS_MAX; Date.now() < deadlineMs; await sleep(10)) {
		const addresses = readAddresses(file);
		if (addresses !== undefined && addresses.pid === pid) return addresses;
	}
	throw new Error(`the broker did not come up in ${START_MS_MAX} ms`);
}
