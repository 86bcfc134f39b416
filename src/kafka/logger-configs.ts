/**
 * The broker's loggers as Kafka's tools see and set them (KIP-412): one for each area of the log,
 * and `root` for those that have no level of their own. What is set counts until the broker ends.
 */
import { MillraceError } from "../errors.ts";
import { LOGGER_NAMES, type LoggerName, type LogLevel } from "../log-levels.ts";
import { CONFIG_SOURCE, type ConfigEntry } from "./config-entries.ts";
import type { LogLevels } from "./host.ts";

/** Kafka's names of levels; OFF is told of and cannot be set, as there. */
const LEVELS = {
	DEBUG: "debug",
	ERROR: "error",
	FATAL: "fatal",
	INFO: "info",
	TRACE: "trace",
	WARN: "warn",
} as const satisfies Record<string, LogLevel>;

/** The level of every logger. */
export function loggerConfigs(logs: LogLevels): ConfigEntry[] {
	return LOGGER_NAMES.map((name) => ({
		name,
		value: kafkaName(logs.levelOf(name)),
		type: "UNKNOWN",
		source: CONFIG_SOURCE.brokerLogger,
		readOnly: false,
		documentation: "",
		synonyms: [],
	}));
}

/** Throws INVALID_CONFIG for what is no logger. */
export function loggerOf(name: string): LoggerName {
	const logger = LOGGER_NAMES.find((candidate) => candidate === name);
	if (logger !== undefined) return logger;
	const shown = name.slice(0, 100);
	throw invalid(`there is no logger ${shown}, only ${LOGGER_NAMES.join(", ")}`);
}

/** Throws INVALID_CONFIG for what is no level that can be set. */
export function levelOf(text: string): LogLevel {
	if (Object.hasOwn(LEVELS, text)) return LEVELS[text as keyof typeof LEVELS];
	throw invalid(`${text.slice(0, 100)} is none of ${Object.keys(LEVELS).join(", ")}`);
}

function kafkaName(level: LogLevel): string {
	return level === "silent" ? "OFF" : level.toUpperCase();
}

function invalid(particular: string): MillraceError {
	return new MillraceError("INVALID_CONFIG", particular);
}
