/**
 * What a run has started and made, so that a signal ends it without leaving anything behind:
 * processes still running, directories full of data.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { constants } from "node:os";
import { join } from "node:path";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** What a shell adds to a signal's number for a process that it ended. */
const SIGNAL_EXIT_BASE = 128;

/** How long a process that ends in an orderly way may take for it. */
const END_MS_MAX = 20_000;

/** A directory may still be written to by a thread of this process while it is removed. */
const REMOVE_RETRIES_MAX = 20;

const processes = new Map<ChildProcess, NodeJS.Signals>();
const directories = new Set<string>();
let isInterrupted = false;

/**
 * Has a process ended when a signal ends this one; returns it. By SIGKILL unless it has to clean up
 * after itself: what it holds is thrown away.
 */
export function endWithRun<Child extends ChildProcess>(
	child: Child,
	signal: NodeJS.Signals = "SIGKILL",
): Child {
	processes.set(child, signal);
	child.once("close", () => processes.delete(child));
	if (isInterrupted) child.kill(signal);
	return child;
}

/** Makes a directory whose name begins so, and removes it after `work`, or when a signal comes. */
export async function withTemporaryDirectory<Result>(
	parent: string,
	prefix: string,
	work: (directory: string) => Promise<Result>,
): Promise<Result> {
	const directory = await mkdtemp(join(parent, prefix));
	directories.add(directory);
	try {
		return await work(directory);
	} finally {
		await remove(directory);
		directories.delete(directory);
	}
}

/**
 * Resolves or rejects as `work` does. When a signal comes first, ends what was started, removes
 * what was made, and ends this process with what a shell reports for it; a second signal ends it at
 * once.
 */
export async function endingOnSignals<Result>(work: () => Promise<Result>): Promise<Result> {
	let onSignal: (signal: (typeof SIGNALS)[number]) => void = () => undefined;
	const interrupted = new Promise<(typeof SIGNALS)[number]>((resolve) => {
		onSignal = (signal) => {
			takeBack();
			resolve(signal);
		};
	});
	const takeBack = () => {
		for (const signal of SIGNALS) process.off(signal, onSignal);
	};
	for (const signal of SIGNALS) process.on(signal, onSignal);
	const ended = await Promise.race([
		work().then((result) => ({ result })),
		interrupted.then((signal) => ({ signal })),
	]).finally(takeBack);
	if ("result" in ended) return ended.result;
	await leaveNothing();
	process.exit(SIGNAL_EXIT_BASE + constants.signals[ended.signal]);
}

async function leaveNothing(): Promise<void> {
	isInterrupted = true;
	// The work goes on meanwhile, and fails in many places: its brokers are gone.
	process.on("unhandledRejection", () => undefined).on("uncaughtException", () => undefined);
	await Promise.all(
		[...processes].map(async ([child, signal]) => {
			const closed = once(child, "close");
			child.kill(signal);
			const cutOff = setTimeout(() => child.kill("SIGKILL"), END_MS_MAX);
			await closed;
			clearTimeout(cutOff);
		}),
	);
	await Promise.all([...directories].map(remove));
}

async function remove(directory: string): Promise<void> {
	await rm(directory, { recursive: true, force: true, maxRetries: REMOVE_RETRIES_MAX });
}
