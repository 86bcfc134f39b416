/**
 * Real Kafka clients, each behind one small program with the same commands (programs/README.md),
 * and the shapes of what goes in and comes out of them.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import {
	builtProgram,
	kafkaJava,
	MISSING_KAFKA_JAVA,
	missingProgram,
	missingPython,
	pythonBinary,
} from "../optional-parts.ts";

export type Codec = "none" | "gzip" | "snappy" | "lz4" | "zstd";
export const CODECS: readonly Codec[] = ["none", "gzip", "snappy", "lz4", "zstd"];

/** How members of a group agree: two ways of the classic protocol, and KIP-848. */
export type GroupProtocol = "eager" | "cooperative" | "consumer";

/** A record to produce. Keys, values and header values are base64 or null. */
export interface ProduceLine {
	readonly codec: Codec;
	/** -1: the client chooses. */
	readonly partition: number;
	readonly key: string | null;
	readonly value: string | null;
	/** null: the client's clock. */
	readonly timestamp: number | null;
	readonly headers: readonly (readonly [string, string | null])[];
}

/** What a produced record is answered with: a place, or Kafka's number of the error. */
export interface AckLine {
	readonly partition: number;
	readonly offset: number;
	readonly error?: number;
}

/** A record as it was consumed. */
export interface RecordLine {
	readonly partition: number;
	readonly offset: number;
	readonly timestamp: number;
	/** 0 CreateTime, 1 LogAppendTime; null where the client does not tell. */
	readonly timestampType: 0 | 1 | null;
	readonly key: string | null;
	readonly value: string | null;
	readonly headers: readonly (readonly [string, string | null])[];
}

/** What happens to a member of a group. `offsets` and `partitions` are by partition number. */
export type MemberEvent =
	| { event: "assigned" | "revoked" | "lost"; partitions: number[] }
	| { event: "record"; partition: number; offset: number; value: string }
	| { event: "committed"; offsets: Record<string, number> }
	| { event: "commitFailed"; error: number | null }
	| { event: "error"; error?: number; message?: string }
	| { event: "left" };

/** Where consuming starts. */
export type ConsumeStart = "earliest" | { offset: number } | { timestamp: number };

export interface MemberOptions {
	readonly bootstrap: string;
	readonly topic: string;
	readonly group: string;
	readonly protocol: GroupProtocol;
	/** For a static member. */
	readonly instance?: string;
	readonly sessionTimeoutMs: number;
	readonly heartbeatMs: number;
	/** How long each record takes to handle. */
	readonly handleMs: number;
	/** How many records are handled between two commits. */
	readonly commitEvery: number;
}

/** One command for an admin client: `do` names it. */
export type AdminCommand = { readonly do: string } & Record<string, unknown>;

/** `error` is Kafka's number; what else there is depends on the command. */
export type AdminAnswer = Record<string, unknown>;

/** One client. */
export interface ClientProgram {
	readonly name: string;
	/** The command line in front of a command; null where the client is not on this machine. */
	commandLine(): string[] | null;
	/** Why it is not. */
	readonly missing: string;
	readonly codecs: readonly Codec[];
	readonly protocols: readonly GroupProtocol[];
	/** Whether a header's value can be null. */
	readonly hasNullHeaders: boolean;
	/** Whether a member can be static. */
	readonly hasStaticMembers: boolean;
	/** Admin commands that it has no call for. */
	readonly lacks: readonly string[];
}

/** `directory` and `file` are below programs/. */
const program = (file: string): string =>
	fileURLToPath(new URL(`programs/${file}`, import.meta.url));

function python(name: string, module: string, ...modules: string[]) {
	return {
		name,
		commandLine() {
			const binary = pythonBinary(module, ...modules);
			const file = program(`python/${name.replaceAll("-", "_")}_program.py`);
			return binary === null ? null : [binary, "-B", file];
		},
		missing: missingPython(module, ...modules),
	};
}

function go(name: string, directory: string) {
	return {
		name,
		commandLine() {
			const built = builtProgram(`go/${directory}`, "integration/programs/go");
			return built === null ? null : [built];
		},
		missing: missingProgram("integration/programs/go"),
	};
}

export const CONFLUENT: ClientProgram = {
	...python("confluent", "confluent_kafka"),
	codecs: CODECS,
	protocols: ["eager", "cooperative", "consumer"],
	hasNullHeaders: true,
	hasStaticMembers: true,
	lacks: ["describeLogDirs"],
};

export const KAFKA_PYTHON: ClientProgram = {
	...python("kafka-python", "kafka", "snappy", "lz4", "zstandard"),
	codecs: CODECS,
	protocols: ["eager", "cooperative"],
	hasNullHeaders: false,
	hasStaticMembers: true,
	lacks: [],
};

export const KAFKAJS: ClientProgram = {
	name: "kafkajs",
	commandLine: () => [process.execPath, program("kafkajs-program.mjs")],
	missing: "kafkajs is a development dependency",
	codecs: ["none", "gzip"],
	protocols: ["eager"],
	hasNullHeaders: false,
	hasStaticMembers: false,
	lacks: ["describeLogDirs"],
};

export const JAVA: ClientProgram = {
	name: "java",
	commandLine() {
		const built = builtProgram("kafka/lib/client-program.jar", "integration/programs/java");
		const java = built === null ? null : kafkaJava();
		return java === null ? null : [...java, "ClientProgram"];
	},
	missing: MISSING_KAFKA_JAVA,
	codecs: CODECS,
	protocols: ["eager", "cooperative", "consumer"],
	hasNullHeaders: true,
	hasStaticMembers: true,
	lacks: [],
};

export const FRANZ: ClientProgram = {
	...go("franz-go", "franz"),
	codecs: CODECS,
	protocols: ["eager", "cooperative"],
	hasNullHeaders: true,
	hasStaticMembers: true,
	lacks: [],
};

export const SARAMA: ClientProgram = {
	...go("sarama", "sarama"),
	codecs: CODECS,
	protocols: ["eager"],
	hasNullHeaders: true,
	hasStaticMembers: true,
	lacks: [],
};

export const CLIENT_PROGRAMS: readonly ClientProgram[] = [
	CONFLUENT,
	KAFKA_PYTHON,
	KAFKAJS,
	JAVA,
	FRANZ,
	SARAMA,
];

/**
 * Runs one command to its end and gives the lines that it answered.
 * @throws when it ends with another status than 0, with what it wrote to stderr
 */
export async function runProgram<Answer>(
	commandLine: readonly string[],
	command: "produce" | "consume" | "admin",
	options: object,
	input: readonly object[] = [],
): Promise<Answer[]> {
	const lines = input.map((line) => `${JSON.stringify(line)}\n`).join("");
	const output = await runTool([...commandLine, command, JSON.stringify(options)], lines);
	return parseLines(output);
}

const parseLines = <Line>(text: string): Line[] =>
	text
		.split("\n")
		.filter((line) => line !== "")
		.map((line) => JSON.parse(line));

/**
 * Runs any command to its end and gives what it wrote to stdout.
 * @throws when it ends with another status than 0, with what it wrote to both
 */
export async function runTool(
	[command, ...parameters]: readonly string[],
	input: string | Uint8Array = "",
): Promise<string> {
	return (await runToolBytes([command as string, ...parameters], input)).toString();
}

/** The same with stdout as bytes. */
export function runToolBytes(
	[command, ...parameters]: readonly string[],
	input: string | Uint8Array = "",
): Promise<Buffer> {
	const child = spawn(command as string, parameters);
	const output: Buffer[] = [];
	let complaints = "";
	child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
	child.stderr.setEncoding("utf8").on("data", (text: string) => {
		complaints += text;
	});
	// A command that fails may not read all of its input.
	child.stdin.on("error", () => undefined);
	child.stdin.end(input);
	return new Promise((resolve, reject) => {
		child.once("error", reject);
		child.once("close", (status, signal) => {
			const bytes = Buffer.concat(output);
			if (status === 0) return resolve(bytes);
			const told = `${bytes.subarray(0, 10_000)}\n${complaints.slice(-10_000)}`;
			reject(
				new Error(`${command} ${parameters.join(" ")} ended with ${status ?? signal}: ${told}`),
			);
		});
	});
}

/** One running member of a group. */
export class GroupMember {
	readonly name: string;
	/** All that happened to it, in order. */
	readonly events: MemberEvent[] = [];
	readonly #child: ChildProcessWithoutNullStreams;
	readonly #ended: Promise<void>;
	#stderr = "";

	/** `onEvent` hears of each event as it comes. */
	constructor(
		name: string,
		commandLine: readonly string[],
		options: MemberOptions,
		onEvent: (event: MemberEvent, member: GroupMember) => void,
	) {
		this.name = name;
		const [command, ...parameters] = commandLine;
		this.#child = spawn(command as string, [...parameters, "group", JSON.stringify(options)]);
		this.#child.stderr.setEncoding("utf8").on("data", (text: string) => {
			this.#stderr += text;
		});
		createInterface({ input: this.#child.stdout }).on("line", (line) => {
			const event: MemberEvent = JSON.parse(line);
			this.events.push(event);
			onEvent(event, this);
		});
		this.#ended = new Promise((resolve, reject) => {
			this.#child.once("error", reject);
			this.#child.once("close", (status, signal) => {
				if (status === 0 || signal === "SIGKILL") return resolve();
				reject(new Error(`${name} ended with ${status ?? signal}: ${this.#stderr.slice(-10_000)}`));
			});
		});
		// Whoever asks it to leave hears of it; until then a test that fails must not hide why.
		this.#ended.catch(() => undefined);
	}

	/** The partitions that it has, by what it was told. */
	get partitions(): number[] {
		const held = new Set<number>();
		for (const event of this.events) {
			if (event.event === "assigned") for (const number of event.partitions) held.add(number);
			if (event.event !== "revoked" && event.event !== "lost") continue;
			for (const number of event.partitions) held.delete(number);
		}
		return [...held].sort((left, right) => left - right);
	}

	/** Has it leave the group in order. @throws what it complained of when it failed */
	async leave(): Promise<void> {
		this.#child.stdin.end();
		await this.#ended;
	}

	/** Ends it without a word to the broker. */
	async kill(): Promise<void> {
		this.#child.kill("SIGKILL");
		await this.#ended;
	}
}
