/**
 * What topics have that do not set it themselves: options of the broker, by Kafka's names, over the
 * defaults of the configuration table. Most settings of topics have one such option; times have
 * several, of which the one with the finest unit that is given counts.
 */
import {
	type ConfigOverrides,
	NO_OVERRIDES,
	type OverrideLevel,
	overrideOf,
} from "../config/overrides.ts";
import { CONFIGURATION, type FixedEntry, type WorkingEntry } from "./configuration-table.ts";
import { parseValue, type ValueType } from "./configuration-value.ts";

/** An option of the broker that is a default of topics. */
export interface DefaultOption {
	readonly name: string;
	/** The setting of topics that it is the default of. */
	readonly setting: string;
	readonly type: WorkingEntry["type"];
	readonly value: ValueType;
	/** How many of the setting's unit one of the option's is. */
	readonly unit: bigint;
	/** Null where a weaker option has the default. */
	readonly default: string | null;
	/** Not an option: the setting can only be as it is. */
	readonly isFixed: boolean;
}

/**
 * A value that there is for a default: set while the broker ran, for it or for all of the cluster,
 * given at its start, or built in.
 */
export interface DefaultValue {
	readonly name: string;
	readonly value: string;
	readonly source: OverrideLevel | "start" | "built-in";
}

const MINUTE_MS = 60_000n;
const HOUR_MS = 3_600_000n;
const INT_MAX = 2_147_483_647n;

/** Names of options, the strongest first; with a unit where it is not the setting's. */
type Chain = readonly (string | readonly [name: string, unit: bigint])[];

// biome-ignore format: a table, one entry a setting, sorted by setting
const CHAINS: Readonly<Record<string, Chain>> = {
	"cleanup.policy": ["log.cleanup.policy"],
	"compression.gzip.level": ["compression.gzip.level"],
	"compression.lz4.level": ["compression.lz4.level"],
	"compression.type": ["compression.type"],
	"compression.zstd.level": ["compression.zstd.level"],
	"delete.retention.ms": ["log.cleaner.delete.retention.ms"],
	"file.delete.delay.ms": ["log.segment.delete.delay.ms"],
	"flush.messages": ["log.flush.interval.messages"],
	"flush.ms": ["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
	"index.interval.bytes": ["log.index.interval.bytes"],
	"local.retention.bytes": ["log.local.retention.bytes"],
	"local.retention.ms": ["log.local.retention.ms"],
	"max.compaction.lag.ms": ["log.cleaner.max.compaction.lag.ms"],
	"max.message.bytes": ["message.max.bytes"],
	"message.timestamp.after.max.ms": ["log.message.timestamp.after.max.ms"],
	"message.timestamp.before.max.ms": ["log.message.timestamp.before.max.ms"],
	"message.timestamp.type": ["log.message.timestamp.type"],
	"min.cleanable.dirty.ratio": ["log.cleaner.min.cleanable.ratio"],
	"min.compaction.lag.ms": ["log.cleaner.min.compaction.lag.ms"],
	"min.insync.replicas": ["min.insync.replicas"],
	"preallocate": ["log.preallocate"],
	"retention.bytes": ["log.retention.bytes"],
	"retention.ms": [
		"log.retention.ms", ["log.retention.minutes", MINUTE_MS], ["log.retention.hours", HOUR_MS],
	],
	"segment.bytes": ["log.segment.bytes"],
	"segment.index.bytes": ["log.index.size.max.bytes"],
	"segment.jitter.ms": ["log.roll.jitter.ms", ["log.roll.jitter.hours", HOUR_MS]],
	"segment.ms": ["log.roll.ms", ["log.roll.hours", HOUR_MS]],
	"unclean.leader.election.enable": ["unclean.leader.election.enable"],
};

/** By setting, the strongest option first. */
const OPTIONS_OF_SETTING: ReadonlyMap<string, readonly DefaultOption[]> = new Map(
	Object.entries(CHAINS).map(([setting, chain]) => [setting, optionsOf(setting, chain)]),
);

/** Every default that the broker can tell, by its own name. */
export const DEFAULT_OPTIONS: ReadonlyMap<string, DefaultOption> = new Map(
	[...OPTIONS_OF_SETTING.values()].flat().map((option) => [option.name, option]),
);

function optionsOf(setting: string, chain: Chain): DefaultOption[] {
	const entry = CONFIGURATION.get(setting);
	if (entry === undefined || entry.class === "refused") throw new Error(`no setting ${setting}`);
	return chain.map((link, index) => {
		const [name, unit] = typeof link === "string" ? [link, 1n] : link;
		const isLast = index === chain.length - 1;
		return {
			name,
			setting,
			type: unit === 1n ? entry.type : "INT",
			value: valueTypeOf(setting, entry, unit),
			unit,
			default: isLast ? inUnit(entry.default, unit) : null,
			isFixed: entry.class === "fixed",
		};
	});
}

function valueTypeOf(setting: string, entry: WorkingEntry | FixedEntry, unit: bigint): ValueType {
	if (entry.class === "fixed") return { kind: "choice", choices: [entry.default] };
	if (entry.value.kind !== "integer") return entry.value;
	// Kafka starts with no broker-wide retention of 0, though a topic may have it.
	const except = setting === "retention.ms" ? { except: 0n } : {};
	const bounds = unit === 1n ? {} : { maximum: INT_MAX };
	return { ...entry.value, ...bounds, ...except };
}

function inUnit(value: string, unit: bigint): string {
	return unit === 1n ? value : (BigInt(value) / unit).toString();
}

/** -1 is "no limit" in every unit. */
function ofUnit(value: string, unit: bigint): string {
	if (unit === 1n) return value;
	const number = BigInt(value);
	return (number < 0n ? number : number * unit).toString();
}

/** What a default is, for people. */
export function defaultDoc({ name, setting, unit }: DefaultOption): string {
	const chain = (OPTIONS_OF_SETTING.get(setting) ?? []).map((option) => option.name);
	const stronger = chain.slice(0, chain.indexOf(name));
	const inUnits = unit === MINUTE_MS ? ", in minutes" : unit === HOUR_MS ? ", in hours" : "";
	const without = stronger.length === 0 ? "" : `, without ${stronger.join(" or ")}`;
	return `What topics have that do not set ${setting}${inUnits}${without}.`;
}

/** The options of the broker that are the default of a setting of topics, strongest first. */
export function defaultOptionsOf(setting: string): readonly string[] {
	return (OPTIONS_OF_SETTING.get(setting) ?? [])
		.filter(({ isFixed }) => !isFixed)
		.map(({ name }) => name);
}

/**
 * The value of a default option in canonical form. Throws InvalidValueError, whose message does not
 * name the option.
 */
export function parseDefault(option: DefaultOption, text: string): string {
	return parseValue(option.value, text.trim());
}

export class TopicDefaults {
	readonly #given: ReadonlyMap<string, string>;
	readonly #overrides: ConfigOverrides;

	/**
	 * `given`: canonical values by the names of options, which `overrides` wins over; the others are
	 * at their defaults.
	 */
	constructor(given: ReadonlyMap<string, string>, overrides: ConfigOverrides = NO_OVERRIDES) {
		for (const name of given.keys()) {
			if (!DEFAULT_OPTIONS.has(name)) throw new Error(`${name} is no default of topics`);
		}
		this.#given = given;
		this.#overrides = overrides;
	}

	/** What a topic has that does not set it, in canonical form. Undefined for unknown settings. */
	valueOf(setting: string): string | undefined {
		const given = this.#givenFor(setting);
		if (given !== undefined) return given;
		const entry = CONFIGURATION.get(setting);
		return entry === undefined || entry.class === "refused" ? undefined : entry.default;
	}

	/** Whether an option of the broker says what topics have that do not set it. */
	isGiven(setting: string): boolean {
		return this.#givenFor(setting) !== undefined;
	}

	#givenFor(setting: string): string | undefined {
		for (const { name, unit } of OPTIONS_OF_SETTING.get(setting) ?? []) {
			const value = overrideOf(this.#overrides, name) ?? this.#given.get(name);
			if (value !== undefined) return ofUnit(value, unit);
		}
		return undefined;
	}

	/** Every value that there is for a setting of topics, as Kafka tells them. */
	valuesFor(setting: string): readonly DefaultValue[] {
		const [strongest] = OPTIONS_OF_SETTING.get(setting) ?? [];
		return strongest === undefined ? [] : this.valuesOf(strongest);
	}

	/**
	 * The value of an option and what would count without it: what was set before what was given
	 * before what is built in, stronger ones first. As in Kafka what stands before the option's own
	 * name is left out, and with it everything where the option itself has no value:
	 * `log.retention.ms` has none while only `log.retention.hours` is given, although topics keep
	 * records by that.
	 */
	valuesOf(option: DefaultOption): readonly DefaultValue[] {
		const chain = OPTIONS_OF_SETTING.get(option.setting) ?? [];
		const values: DefaultValue[] = [];
		const { broker, cluster } = this.#overrides;
		const sources = { broker, cluster, start: this.#given };
		for (const source of ["broker", "cluster", "start"] as const) {
			for (const { name } of chain) {
				const value = sources[source].get(name);
				if (value !== undefined) values.push({ name, value, source });
			}
		}
		for (const { name, default: value } of chain) {
			if (value !== null) values.push({ name, value, source: "built-in" });
		}
		const own = values.findIndex(({ name }) => name === option.name);
		return own === -1 ? [] : values.slice(own);
	}
}

/** The defaults of a broker to which none was given. */
export const BUILT_IN_DEFAULTS = new TopicDefaults(new Map());
