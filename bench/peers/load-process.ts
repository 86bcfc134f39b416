/** Programs that make load: each tells on stdout when its timed part begins and ends. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";

import { endWithRun } from "../harness/interruption.ts";
import type { Payload } from "../harness/payload.ts";
import type { Verified } from "../harness/results.ts";
import { processCost } from "../harness/scenario.ts";
import type { MeasuredUsage } from "../harness/server-process.ts";
import type { Endpoint } from "./contender.ts";
import type { PeerRound } from "./results.ts";

/** A line of a load's output. */
export type LoadEvent =
	| { readonly event: "begin" }
	| {
			readonly event: "end";
			/** Of the timed part. */
			readonly records: number;
			/** That the topic holds. */
			readonly stored: number;
			readonly seconds: number;
			readonly cpu_seconds: number;
	  }
	| ({ readonly event: "read" } & Verified);

/** What a load has told, and what the broker used meanwhile. */
export interface LoadFigures {
	readonly end: Extract<LoadEvent, { event: "end" }> | null;
	readonly usage: MeasuredUsage;
	readonly read: Verified | null;
}

/** Runs a load to its end. Rejects with what it wrote to stderr when that is a bad one. */
export async function runLoad(
	commandLine: readonly string[],
	endpoint: Endpoint,
): Promise<LoadFigures> {
	const child = spawnTool(commandLine);
	let endMeasure: (() => MeasuredUsage) | null = null;
	let end: LoadFigures["end"] = null;
	let usage: MeasuredUsage = null;
	let read: Verified | null = null;
	createInterface({ input: child.stdout }).on("line", (line) => {
		const event = JSON.parse(line) as LoadEvent;
		switch (event.event) {
			case "begin":
				endMeasure = endpoint.measure();
				break;
			case "end":
				usage = endMeasure?.() ?? null;
				endMeasure = null;
				end = event;
				break;
			case "read":
				read = { records: event.records, sha256: event.sha256 };
		}
	});
	try {
		await endOf(child, commandLine);
	} finally {
		// Only where it ended in between; its sampling would go on for ever.
		(endMeasure as (() => MeasuredUsage) | null)?.();
	}
	return { end, usage, read };
}

/** The round that a load's figures are; throws unless what it read is what `payload` has. */
export function roundOf({ end, usage, read }: LoadFigures, payload: Payload): PeerRound {
	if (end === null || read === null) throw new Error("a load ended without all its figures");
	if (read.records !== end.stored || read.sha256 !== payload.hash(end.stored)) {
		throw new Error(`${end.stored} records were acknowledged and ${read.records} read, or others`);
	}
	return {
		...ratesOf(end.records, end.seconds, payload.recordBytes, usage),
		client_cpu_seconds: end.cpu_seconds,
		verified: read,
	};
}

/** What every round tells of its timed part. */
export function ratesOf(
	records: number,
	seconds: number,
	recordBytes: number,
	usage: MeasuredUsage,
): Omit<PeerRound, "client_cpu_seconds" | "verified"> {
	const bytes = records * recordBytes;
	return {
		records,
		seconds,
		records_per_second: records / seconds,
		bytes_per_second: bytes / seconds,
		broker: processCost(usage, records, recordBytes),
	};
}

/** Runs any program to its end, and gives what it wrote to stdout. */
export async function runToEnd(commandLine: readonly string[]): Promise<string> {
	const child = spawnTool(commandLine);
	let output = "";
	child.stdout.setEncoding("utf8").on("data", (text: string) => {
		output += text;
	});
	await endOf(child, commandLine);
	return output;
}

type Tool = ChildProcessByStdio<null, Readable, Readable> & { complaints: string };

function spawnTool([command, ...parameters]: readonly string[]): Tool {
	const child = endWithRun(
		spawn(command as string, parameters, { stdio: ["ignore", "pipe", "pipe"] }),
	);
	const tool = Object.assign(child, { complaints: "" });
	child.stderr.setEncoding("utf8").on("data", (text: string) => {
		tool.complaints = `${tool.complaints}${text}`.slice(-10_000);
	});
	return tool;
}

async function endOf(child: Tool, commandLine: readonly string[]): Promise<void> {
	const [status, signal] = await once(child, "close");
	if (status === 0) return;
	throw new Error(`${commandLine.join(" ")} ended with ${status ?? signal}: ${child.complaints}`);
}
