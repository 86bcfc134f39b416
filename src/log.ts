/**
 * The log, on stderr: text on a terminal, one JSON object a line elsewhere. Each part of the broker
 * has a logger of its own, whose level can change while the broker runs.
 *
 * Logging never waits and never throws: a reader that has stopped reading, a closed pipe or a full
 * disk costs lines, which are counted and reported when writing works again, never the broker.
 */
import { constants, fstatSync, openSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import { isatty } from "node:tty";
import { type Logger, pino } from "pino";

import type { LiveConfig } from "./config/live.ts";
import { LOG_AREAS, LOG_ROOT, type LogArea, type LoggerName, type LogLevel } from "./log-levels.ts";

export type { Logger } from "pino";

const STDERR = 2;

/** A socket's unwritten lines in bytes beyond which further ones are dropped. */
const SOCKET_BACKLOG_BYTES_MAX = 1_048_576;

/** Fields whose values nobody may read in a log, at the top of a line or one level below. */
const SECRET_FIELDS = [
	"auth",
	"authBytes",
	"authorization",
	"key",
	"passphrase",
	"password",
	"pfx",
	"salt",
	"saltedPassword",
	"secret",
	"serverKey",
	"storedKey",
	"token",
];

/** The loggers of a broker, by area. */
export class Logs {
	readonly #live: LiveConfig;
	readonly #root: Logger;
	readonly #loggers: ReadonlyMap<LogArea, Logger>;
	/** What was set while the broker runs, until it is taken back or the broker ends. */
	#overrides: ReadonlyMap<LoggerName, LogLevel> = new Map();

	/** Logs to stderr by default. */
	constructor(live: LiveConfig, root = createLogger("trace")) {
		this.#live = live;
		this.#root = root;
		this.#loggers = new Map(LOG_AREAS.map((area) => [area, root.child({ area })]));
		live.onChange("logLevel", () => this.#apply());
		live.onChange("logLevels", () => this.#apply());
		this.#apply();
	}

	/** The logger of an area: the same one for as long as the broker runs. */
	of(area: LogArea): Logger {
		return this.#loggers.get(area) ?? this.#root;
	}

	/** The level of an area, or of those that have none of their own. */
	levelOf(name: LoggerName): LogLevel {
		const { logLevel, logLevels } = this.#live.config;
		const own = this.#overrides.get(name);
		if (name === LOG_ROOT) return own ?? logLevel;
		return own ?? logLevels.get(name) ?? this.levelOf(LOG_ROOT);
	}

	/**
	 * Sets levels beside what the configuration says, which count until the broker ends; null takes
	 * one back.
	 */
	set(changes: Iterable<readonly [name: LoggerName, level: LogLevel | null]>): void {
		const overrides = new Map(this.#overrides);
		for (const [name, level] of changes) {
			if (level === null) overrides.delete(name);
			else overrides.set(name, level);
		}
		this.#overrides = overrides;
		this.#apply();
	}

	#apply(): void {
		for (const [area, logger] of this.#loggers) logger.level = this.levelOf(area);
	}
}

/** A logger that writes to stderr. */
export function createLogger(level: LogLevel): Logger {
	const write = openSink(STDERR);
	const format = isatty(STDERR) ? formatForTerminal : (line: string) => line;
	let dropped = 0;
	const sink = {
		write(line: string) {
			if (dropped > 0 && write(format(droppedLine(dropped)))) dropped = 0;
			if (dropped > 0 || !write(format(line))) dropped += 1;
		},
	};
	return pino(
		{
			level,
			base: null,
			timestamp: pino.stdTimeFunctions.isoTime,
			formatters: { level: (label) => ({ level: label }) },
			redact: {
				paths: SECRET_FIELDS.flatMap((name) => [name, `*.${name}`]),
				censor: "[secret]",
			},
		},
		sink,
	);
}

function droppedLine(count: number): string {
	const time = new Date().toISOString();
	const msg = "log lines were dropped because stderr could not take them";
	return `${JSON.stringify({ level: "warn", time, dropped: count, msg })}\n`;
}

/**
 * A function that writes without ever waiting; false means that the text was dropped. A pipe is
 * opened anew, because only so can it be made non-blocking without doing the same to everyone who
 * shares it; a socket (systemd's journal) cannot be and goes through libuv; a file never blocks.
 */
function openSink(descriptor: number): (text: string) => boolean {
	const kind = fstatSync(descriptor);
	if (kind.isSocket()) return socketSink(descriptor);
	let own = descriptor;
	if (kind.isFIFO() || isatty(descriptor)) {
		try {
			own = openSync(
				`/dev/fd/${descriptor}`,
				constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY,
			);
		} catch {
			// Where that is not allowed the shared one has to do, as it does for every other program.
			own = descriptor;
		}
	}
	return descriptorSink(own);
}

function descriptorSink(descriptor: number): (text: string) => boolean {
	/** What is left of a line of which only the beginning fitted. */
	let rest: Buffer = Buffer.alloc(0);
	return (text) => {
		try {
			if (rest.length > 0) rest = rest.subarray(writeSync(descriptor, rest));
			if (rest.length > 0) return false;
			const bytes = Buffer.from(text);
			rest = bytes.subarray(writeSync(descriptor, bytes));
			return true;
		} catch {
			// Full (EAGAIN), closed (EPIPE) or out of space: the caller counts the loss.
			return false;
		}
	};
}

function socketSink(descriptor: number): (text: string) => boolean {
	const socket = new Socket({ fd: descriptor, readable: false, writable: true });
	let open = true;
	socket.on("error", () => {
		open = false;
	});
	socket.unref();
	return (text) => {
		if (!open || socket.writableLength > SOCKET_BACKLOG_BYTES_MAX) return false;
		socket.write(text);
		return true;
	};
}

const AREA_WIDTH = Math.max(...LOG_AREAS.map((area) => area.length));

/** `12:00:00.123 info  broker     ready  websocket=ws://127.0.0.1:4600` */
export function formatForTerminal(line: string): string {
	const { level, time, area, msg, err, ...fields } = JSON.parse(line) as Record<string, unknown>;
	const clock = String(time).slice(11, 23);
	const about = String(area ?? "").padEnd(AREA_WIDTH);
	let text = `${clock} ${String(level).padEnd(5)} ${about}  ${String(msg ?? "")}`;
	for (const [name, value] of Object.entries(fields)) {
		text += `  ${name}=${typeof value === "string" ? value : JSON.stringify(value)}`;
	}
	if (typeof err === "object" && err !== null) {
		const { stack, message } = err as { stack?: string; message?: string };
		text += `\n${stack ?? message ?? ""}`;
	}
	return `${text}\n`;
}
