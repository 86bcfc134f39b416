/**
 * The log, on stderr: text on a terminal, one JSON object a line elsewhere.
 *
 * Logging never waits and never throws: a reader that has stopped reading, a closed pipe or a full
 * disk costs lines, which are counted and reported when writing works again, never the broker.
 */
import { constants, fstatSync, openSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import { isatty } from "node:tty";
import { type Logger, pino } from "pino";

import type { BrokerConfig } from "./config.ts";

export type { Logger } from "pino";

const STDERR = 2;

/** A socket's unwritten lines in bytes beyond which further ones are dropped. */
const SOCKET_BACKLOG_BYTES_MAX = 1_048_576;

/** A logger that writes to stderr. */
export function createLogger(level: BrokerConfig["logLevel"]): Logger {
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
		},
		sink,
	);
}

/** A logger that says nothing. */
export function silentLogger(): Logger {
	return pino({ level: "silent" });
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

/** `12:00:00.123 info  broker is ready  websocket=ws://127.0.0.1:4600` */
export function formatForTerminal(line: string): string {
	const { level, time, msg, err, ...fields } = JSON.parse(line) as Record<string, unknown>;
	const clock = String(time).slice(11, 23);
	let text = `${clock} ${String(level).padEnd(5)} ${String(msg ?? "")}`;
	for (const [name, value] of Object.entries(fields)) {
		text += `  ${name}=${typeof value === "string" ? value : JSON.stringify(value)}`;
	}
	if (typeof err === "object" && err !== null) {
		const { stack, message } = err as { stack?: string; message?: string };
		text += `\n${stack ?? message ?? ""}`;
	}
	return `${text}\n`;
}
