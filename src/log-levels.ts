/** What lines are logged: how important they are, and what part of the broker they are about. */

/** From nothing at all to everything. */
export const LOG_LEVELS = ["silent", "fatal", "error", "warn", "info", "debug", "trace"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Every line has one of these in its `area`. */
export const LOG_AREAS = [
	"broker",
	"config",
	"groups",
	"kafka",
	"security",
	"storage",
	"topics",
	"websocket",
] as const;
export type LogArea = (typeof LOG_AREAS)[number];

/** Stands for all areas that have no level of their own. */
export const LOG_ROOT = "root";
export type LoggerName = LogArea | typeof LOG_ROOT;

export const LOGGER_NAMES: readonly LoggerName[] = [LOG_ROOT, ...LOG_AREAS];

/** Levels of areas that have their own. */
export type AreaLevels = ReadonlyMap<LogArea, LogLevel>;
