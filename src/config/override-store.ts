/**
 * What is set of the broker's options while it runs, by Kafka's names: kept in the metadata store,
 * and put in force before anything else reads the configuration.
 *
 *     broker-configs/broker     { format, config }
 *     broker-configs/cluster    { format, config }
 */
import { MillraceError } from "../errors.ts";
import {
	decodeRecord,
	decodeTexts,
	encodeRecord,
	type RecordKind,
} from "../metadata/metadata-records.ts";
import type { MetadataWriter, OpenedMetadata } from "../metadata/metadata-writer.ts";
import { ConfigError } from "./errors.ts";
import type { LiveConfig } from "./live.ts";
import { unknownOption } from "./option-names.ts";
import { ALL_OPTIONS } from "./options.ts";
import { type ConfigOverrides, OVERRIDE_LEVELS, type OverrideLevel } from "./overrides.ts";
import { formatWritten, parseWritten } from "./values.ts";

/** Where it is said what is left out; pino is one. */
export interface OverrideLog {
	warn(details: object, message: string): void;
}

/** Changes of what is set: a string sets, null goes back to what flags, file and defaults say. */
export type OverrideChange = (
	present: ReadonlyMap<string, string>,
) => Iterable<readonly [name: string, value: string | null]>;

const FORMAT = 1;

const keyOf = (level: OverrideLevel) => `broker-configs/${level}`;

/** As `OverrideStore.open` reads them: texts by the name of an option. */
export const OVERRIDE_RECORDS: readonly RecordKind<Map<string, string>>[] = OVERRIDE_LEVELS.map(
	(level) => ({ prefix: keyOf(level), decode: decodeOverrides }),
);

export class OverrideStore {
	readonly live: LiveConfig;
	readonly #metadata: MetadataWriter;

	private constructor(metadata: MetadataWriter, live: LiveConfig) {
		this.#metadata = metadata;
		this.live = live;
	}

	/**
	 * Puts in force what is stored; what this version cannot have, and what does not go together with
	 * what flags, environment and file say now, is logged and left out. Rejects with DATA_DAMAGED or
	 * DATA_DIRECTORY_NEWER when an entry cannot be read.
	 */
	static async open(
		{ metadata, entries }: OpenedMetadata,
		live: LiveConfig,
		log: OverrideLog,
	): Promise<OverrideStore> {
		const stored = { broker: new Map<string, string>(), cluster: new Map<string, string>() };
		for (const level of OVERRIDE_LEVELS) {
			const value = entries.get(keyOf(level));
			if (value === undefined) continue;
			for (const [name, text] of decodeOverrides(keyOf(level), value)) {
				try {
					stored[level].set(name, canonical(name, text));
				} catch (error) {
					log.warn({ err: error, name }, "what was set of an option is left out");
				}
			}
		}
		await live.override(compatible(stored, live, log));
		return new OverrideStore(metadata, live);
	}

	/**
	 * Changes what is set; resolves once durable and in force. `change` is asked when its turn has
	 * come, so that nothing changes in between. Rejects with INVALID_REQUEST for what is no value of
	 * a dynamic option or does not go together with the others in force, or with what the metadata
	 * store reports.
	 */
	alter(level: OverrideLevel, change: OverrideChange): Promise<void> {
		return this.live.changes.run(async () => {
			const overrides = this.#changed(level, change);
			const config = Object.fromEntries(overrides[level]);
			const value = overrides[level].size === 0 ? null : encodeRecord(FORMAT, { config });
			await this.#metadata.commit([{ key: keyOf(level), value }]);
			await this.live.override(overrides);
		});
	}

	/** Throws what `alter` would be refused with, and changes nothing. */
	check(level: OverrideLevel, change: OverrideChange): void {
		this.#changed(level, change);
	}

	#changed(level: OverrideLevel, change: OverrideChange): ConfigOverrides {
		const present = this.live.overrides[level];
		const next = new Map(present);
		for (const [name, value] of change(present)) {
			if (value === null) next.delete(name);
			else next.set(name, canonical(name, value));
		}
		const overrides = { ...this.live.overrides, [level]: next };
		const conflict = conflictOf(overrides, this.live);
		if (conflict !== undefined) throw invalid(conflict.message, conflict);
		return overrides;
	}
}

function decodeOverrides(key: string, value: Uint8Array): Map<string, string> {
	return decodeTexts(key, decodeRecord(FORMAT, key, value).config);
}

/**
 * As much of what is stored as goes together with what flags, environment and file say now. Each
 * value is tried as soon as all that it needs is there, whatever the order.
 */
function compatible(stored: ConfigOverrides, live: LiveConfig, log: OverrideLog): ConfigOverrides {
	if (conflictOf(stored, live) === undefined) return stored;
	const kept = { broker: new Map<string, string>(), cluster: new Map<string, string>() };
	let left = OVERRIDE_LEVELS.flatMap((level) =>
		[...stored[level]].map(([name, text]) => ({ level, name, text })),
	);
	for (let leftBefore = Number.POSITIVE_INFINITY; left.length < leftBefore; ) {
		leftBefore = left.length;
		left = left.filter(({ level, name, text }) => {
			kept[level].set(name, text);
			const isKept = conflictOf(kept, live) === undefined;
			if (!isKept) kept[level].delete(name);
			return !isKept;
		});
	}
	for (const { level, name, text } of left) {
		const err = conflictOf({ ...kept, [level]: new Map([...kept[level], [name, text]]) }, live);
		log.warn({ err, name }, "what was set of an option is left out");
	}
	return kept;
}

/** Why what was set does not go together with the rest. */
function conflictOf(overrides: ConfigOverrides, live: LiveConfig): ConfigError | undefined {
	try {
		live.checkOverrides(overrides);
	} catch (error) {
		if (error instanceof ConfigError) return error;
		throw error;
	}
	return undefined;
}

/** Throws INVALID_REQUEST, as Kafka does. */
function canonical(name: string, text: string): string {
	const option = ALL_OPTIONS.find((candidate) => candidate.name === name);
	if (option === undefined) throw invalid(unknownOption(name) ?? name);
	if (option.dynamic !== true) {
		throw invalid(`${name} cannot be changed while the broker runs: it needs a restart`);
	}
	try {
		return formatWritten(parseWritten(option.schema, text));
	} catch (error) {
		if (!(error instanceof ConfigError)) throw error;
		throw invalid(`${name}: ${error.message}`, error);
	}
}

function invalid(particular: string, cause?: ConfigError): MillraceError {
	return new MillraceError("INVALID_REQUEST", particular, { cause });
}
