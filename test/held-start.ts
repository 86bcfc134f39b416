/**
 * A broker whose start stands still for as long as a test wants, as it does where recovery is long:
 * the thread that opens its data directory waits for somebody to write to a pipe in there.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { closeSync, constants, existsSync, openSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished } from "vitest";

import { BrokerProcess, COMMAND_FILE, type Ending, temporaryDirectory } from "./broker-process.ts";

export class HeldStart {
	readonly dataDir: string;
	readonly ended: Promise<Ending>;
	readonly #child: ChildProcess;

	private constructor(dataDir: string, child: ChildProcess, ended: Promise<Ending>) {
		this.dataDir = dataDir;
		this.#child = child;
		this.ended = ended;
	}

	/** Resolves when the broker opens its data directory; it listens to signals by then. */
	static async begin(environment: Readonly<Record<string, string>> = {}): Promise<HeldStart> {
		const dataDir = join(temporaryDirectory(), "data");
		await (await BrokerProcess.start({ dataDir })).stop();
		rmSync(pipeOf(dataDir));
		const made = spawnSync("mkfifo", [pipeOf(dataDir)], { encoding: "utf8" });
		expect(made.status, made.stderr).toBe(0);
		const lock = join(dataDir, "LOCK");
		rmSync(lock);
		const listeners = ["--websocket", "127.0.0.1:0", "--kafka", "127.0.0.1:0"];
		const child = spawn(
			process.execPath,
			[COMMAND_FILE, "start", "--data-dir", dataDir, ...listeners],
			{ stdio: ["pipe", "ignore", "pipe"], env: { ...process.env, ...environment } },
		);
		const stderr: Buffer[] = [];
		child.stderr.on("data", (bytes: Buffer) => stderr.push(bytes));
		const ended = new Promise<Ending>((resolve) => {
			child.once("close", (code, signal) => {
				const text = Buffer.concat(stderr).toString();
				resolve({ code, signal, stdout: Buffer.alloc(0), stderr: text });
			});
		});
		onTestFinished(async () => {
			child.kill("SIGKILL");
			await ended;
		});
		await expect.poll(() => existsSync(lock)).toBe(true);
		return new HeldStart(dataDir, child, ended);
	}

	signal(name: NodeJS.Signals): void {
		this.#child.kill(name);
	}

	/** Takes the pipe away, so that the next start is held up by nothing. */
	clear(): void {
		rmSync(pipeOf(this.dataDir));
	}

	/**
	 * Lets the start go on, and resolves when the broker has ended. What comes through the pipe is no
	 * checkpoint, so every log is looked at.
	 */
	async release(): Promise<Ending> {
		let hasEnded = false;
		void this.ended.then(() => {
			hasEnded = true;
		});
		// The file is opened more than once.
		for (; !hasEnded; await sleep(10)) letGo(pipeOf(this.dataDir));
		return await this.ended;
	}
}

/** A file that every start reads and that none needs. */
const pipeOf = (dataDir: string) => join(dataDir, "checkpoint");

/** Has whoever waits for this pipe find it empty. */
function letGo(pipe: string): void {
	try {
		closeSync(openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK));
	} catch (error) {
		// Nobody waits; or the broker has put a checkpoint of its own in its place.
		const { code } = error as NodeJS.ErrnoException;
		if (code !== "ENXIO" && code !== "ENOENT") throw error;
	}
}
