import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

export interface Finished {
	readonly code: number | null;
	readonly signal: NodeJS.Signals | null;
	readonly stdout: Buffer;
	readonly stderr: string;
}

/** Runs the command with these arguments and this stdin to its end. */
export async function millrace(args: readonly string[], input: Uint8Array = new Uint8Array(0)) {
	const child = spawn(process.execPath, [MAIN, ...args], { stdio: ["pipe", "pipe", "pipe"] });
	// A command that fails may not read all of its input.
	child.stdin.on("error", () => undefined);
	child.stdin.end(input);
	return finished(child);
}

function finished(child: ChildProcess): Promise<Finished> {
	const stdout: Buffer[] = [];
	const stderr: Buffer[] = [];
	child.stdout?.on("data", (chunk: Buffer) => stdout.push(chunk));
	child.stderr?.on("data", (chunk: Buffer) => stderr.push(chunk));
	return new Promise((resolve) => {
		child.once("close", (code, signal) => {
			const text = Buffer.concat(stderr).toString();
			resolve({ code, signal, stdout: Buffer.concat(stdout), stderr: text });
		});
	});
}

/** A broker in a process and a data directory of its own. */
export class BrokerProcess {
	readonly child: ChildProcess;
	readonly dataDir: string;
	readonly ended: Promise<Finished>;

	private constructor(child: ChildProcess, dataDir: string) {
		this.child = child;
		this.dataDir = dataDir;
		this.ended = finished(child);
	}

	/** Resolves when `addresses.json` is there; rejects when the process ends first. */
	static async start(args: readonly string[] = []): Promise<BrokerProcess> {
		const dataDir = mkdtempSync(join(tmpdir(), "millrace-broker-"));
		const child = spawn(
			process.execPath,
			[MAIN, "start", "--data-dir", dataDir, "--websocket", "127.0.0.1:0", ...args],
			{ stdio: ["ignore", "pipe", "pipe"] },
		);
		const broker = new BrokerProcess(child, dataDir);
		let isOver = false;
		void broker.ended.then(() => {
			isOver = true;
		});
		while (broker.addresses === undefined) {
			if (isOver) throw new Error(`the broker ended: ${(await broker.ended).stderr}`);
			await new Promise((resolve) => setTimeout(resolve, 10));
		}
		return broker;
	}

	/** What `addresses.json` says; undefined while there is none. */
	get addresses(): { pid: number; websocket: string; http: string; kafka: null } | undefined {
		try {
			return JSON.parse(readFileSync(join(this.dataDir, "addresses.json"), "utf8"));
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
			throw error;
		}
	}

	get url(): string {
		return this.addresses?.websocket ?? "";
	}

	/** Stops the process, if it still runs, and removes its data. */
	async remove(): Promise<void> {
		this.child.kill("SIGKILL");
		await this.ended;
		rmSync(this.dataDir, { recursive: true, force: true });
	}
}
