/**
 * What a run has started and made, so that a signal, or an error that nobody caught, ends it and
 * leaves nothing behind: no processes still running, no directories full of data.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { constants } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";

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

/** Why a run ends before its work has. */
type Ending = { readonly signal: (typeof SIGNALS)[number] } | { readonly error: unknown };

/**
 * Resolves or rejects as `work` does. When a signal comes first, ends what was started, removes
 * what was made, and ends this process with what a shell reports for it; a second signal ends it at
 * once. An error that nobody has caught, and a rejection that nobody waits for yet, such as that of
 * an ack in mid-run, end it alike: said on standard error, exit code 1.
 */
export async function endingOnSignals<Result>(work: () => Promise<Result>): Promise<Result> {
	let end: (ending: Ending) => void = () => undefined;
	const interrupted = new Promise<Ending>((resolve) => {
		end = (ending) => {
			takeBack();
			// The work goes on meanwhile, and fails in many places: its brokers are gone.
			process.on("uncaughtException", () => undefined);
			resolve(ending);
		};
	});
	const onSignal = (signal: (typeof SIGNALS)[number]) => end({ signal });
	// Node hands over rejections that nobody handles, too.
	const onError = (error: unknown) => end({ error });
	const takeBack = () => {
		for (const signal of SIGNALS) process.off(signal, onSignal);
		process.off("uncaughtException", onError);
	};
	for (const signal of SIGNALS) process.on(signal, onSignal);
	process.on("uncaughtException", onError);
	const ended = await Promise.race([
		work().then((result) => ({ result })),
		interrupted.then((ending) => ({ ending })),
	]).finally(takeBack);
	if ("result" in ended) return ended.result;
	const { ending } = ended;
	if ("error" in ending) {
		process.stderr.write(`millrace: the run failed: ${inspect(ending.error)}\n`);
	}
	await leaveNothing();
	process.exit("error" in ending ? 1 : SIGNAL_EXIT_BASE + constants.signals[ending.signal]);
}

async function leaveNothing(): Promise<void> {
	isInterrupted = true;
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
