/**
 * What single consumer groups (KIP-848) are given instead of the broker's options, by Kafka's
 * names: a view in memory over the metadata store. A group need not exist to have a configuration,
 * and its configuration outlives it.
 *
 *     group-configs/GROUP   { format, config }
 */
import { MillraceError } from "../errors.ts";
import { InOrder } from "../in-order.ts";
import { LIMITS } from "../limits.ts";
import {
	damaged,
	decodeRecord,
	decodeTexts,
	encodeRecord,
	type RecordKind,
} from "../metadata/metadata-records.ts";
import type { MetadataWriter, OpenedMetadata } from "../metadata/metadata-writer.ts";
import { didYouMean } from "../nearest-name.ts";
import { isNameTooLong } from "./names.ts";
import type { GroupOptions } from "./options.ts";

/** What members of a group are told. */
export interface GroupTimeouts {
	readonly sessionTimeoutMs: number;
	readonly heartbeatIntervalMs: number;
}

/** What a group sets itself: canonical values by name. */
export type GroupOverrides = ReadonlyMap<string, string>;

/** A string sets, null goes back to the broker's option. */
export type GroupOverrideChange = readonly [name: string, value: string | null];

/** One setting as it is in force for a group. */
export interface GroupConfigDescription {
	readonly name: string;
	readonly value: string;
	readonly isOverride: boolean;
	/** The option of the broker that other groups follow. */
	readonly option: keyof GroupOptions;
	readonly doc: string;
}

interface Setting {
	readonly option: keyof GroupOptions;
	readonly least: keyof GroupOptions;
	readonly most: keyof GroupOptions;
	readonly doc: string;
}

const SESSION_TIMEOUT = "consumer.session.timeout.ms";
const HEARTBEAT_INTERVAL = "consumer.heartbeat.interval.ms";

/** By name, in the order of the names. */
const SETTINGS: ReadonlyMap<string, Setting> = new Map([
	[
		HEARTBEAT_INTERVAL,
		{
			option: "groupConsumerHeartbeatIntervalMs",
			least: "groupConsumerMinHeartbeatIntervalMs",
			most: "groupConsumerMaxHeartbeatIntervalMs",
			doc: "How often members of the group are told to send heartbeats, in milliseconds.",
		},
	],
	[
		SESSION_TIMEOUT,
		{
			option: "groupConsumerSessionTimeoutMs",
			least: "groupConsumerMinSessionTimeoutMs",
			most: "groupConsumerMaxSessionTimeoutMs",
			doc: "Silence after which a member of the group is out, in milliseconds.",
		},
	],
]);

const PREFIX = "group-configs/";
const FORMAT = 1;
const VALUE_CHARACTERS_MAX = 100;

/** As `GroupConfigs.open` reads them. */
export const GROUP_CONFIG_RECORDS: RecordKind<GroupOverrides> = {
	prefix: PREFIX,
	decode: decodeGroupConfig,
};

/** A group that has a configuration of its own. */
interface Own {
	readonly overrides: GroupOverrides;
	readonly timeouts: GroupTimeouts;
}

export class GroupConfigs {
	readonly #metadata: MetadataWriter;
	readonly #options: GroupOptions;
	readonly #defaults: GroupTimeouts;
	readonly #own = new Map<string, Own>();
	readonly #changes = new InOrder();

	private constructor(metadata: MetadataWriter, options: GroupOptions) {
		this.#metadata = metadata;
		this.#options = options;
		this.#defaults = this.#timeoutsOf(new Map());
	}

	/**
	 * Makes them of what is stored. Throws DATA_DAMAGED or DATA_DIRECTORY_NEWER when an entry cannot
	 * be read.
	 */
	static open({ metadata, entries }: OpenedMetadata, options: GroupOptions): GroupConfigs {
		const configs = new GroupConfigs(metadata, options);
		for (const [key, value] of entries) {
			if (!key.startsWith(PREFIX)) continue;
			configs.#put(key.slice(PREFIX.length), decodeGroupConfig(key, value));
		}
		return configs;
	}

	/** What members of a group are told. */
	timeoutsOf(groupId: string): GroupTimeouts {
		return this.#own.get(groupId)?.timeouts ?? this.#defaults;
	}

	/** Groups that have a configuration of their own, sorted. */
	list(): string[] {
		return [...this.#own.keys()].sort();
	}

	/** Every setting as it is in force for a group, by name. */
	describe(groupId: string): GroupConfigDescription[] {
		const overrides = this.#overridesOf(groupId);
		return [...SETTINGS].map(([name, { option, doc }]) => ({
			name,
			value: overrides.get(name) ?? String(this.#options[option]),
			isOverride: overrides.has(name),
			option,
			doc,
		}));
	}

	/**
	 * Changes what a group sets itself; resolves once durable and in force. `change` is asked when
	 * its turn has come, so that nothing changes in between. Rejects with INVALID_CONFIG,
	 * INVALID_GROUP_ID, POLICY_VIOLATION where there is no room, or what the metadata store reports.
	 */
	alter(
		groupId: string,
		change: (present: GroupOverrides) => Iterable<GroupOverrideChange>,
	): Promise<void> {
		return this.#changes.run(async () => {
			const overrides = this.#changed(groupId, change);
			const key = PREFIX + groupId;
			const config = Object.fromEntries(overrides);
			const value = overrides.size === 0 ? null : encodeRecord(FORMAT, { config });
			await this.#metadata.commit([{ key, value }]);
			this.#put(groupId, overrides);
		});
	}

	/** Throws what `alter` would be refused with, and changes nothing. */
	check(groupId: string, change: (present: GroupOverrides) => Iterable<GroupOverrideChange>): void {
		this.#changed(groupId, change);
	}

	#overridesOf(groupId: string): GroupOverrides {
		return this.#own.get(groupId)?.overrides ?? new Map();
	}

	#changed(
		groupId: string,
		change: (present: GroupOverrides) => Iterable<GroupOverrideChange>,
	): GroupOverrides {
		if (isNameTooLong(groupId)) throw new MillraceError("INVALID_GROUP_ID", "it is too long");
		const present = this.#overridesOf(groupId);
		const overrides = new Map(present);
		for (const [name, value] of change(present)) {
			const setting = settingOf(name);
			if (value === null) overrides.delete(name);
			else overrides.set(name, this.#checked(name, setting, value));
		}
		const { heartbeatIntervalMs, sessionTimeoutMs } = this.#timeoutsOf(overrides);
		if (overrides.size > 0 && heartbeatIntervalMs >= sessionTimeoutMs) {
			throw invalid(`${HEARTBEAT_INTERVAL} is not below ${SESSION_TIMEOUT}`);
		}
		if (overrides.size > 0 && !this.#own.has(groupId) && this.#own.size >= LIMITS.groupConfigsMax) {
			throw new MillraceError(
				"POLICY_VIOLATION",
				`${LIMITS.groupConfigsMax} groups have a configuration of their own`,
			);
		}
		return overrides;
	}

	/** The value in canonical form. */
	#checked(name: string, { least, most }: Setting, value: string): string {
		const text = value.trim();
		const number = /^[+-]?\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
		const [minimum, maximum] = [this.#options[least], this.#options[most]];
		if (number >= Number(minimum) && number <= Number(maximum)) return String(number);
		const shown = text.slice(0, VALUE_CHARACTERS_MAX);
		throw invalid(`${name}: ${shown} is no whole number from ${minimum} to ${maximum}`);
	}

	#timeoutsOf(overrides: GroupOverrides): GroupTimeouts {
		const value = (name: string) => {
			const { option, least, most } = settingOf(name);
			const own = overrides.get(name);
			if (own === undefined) return Number(this.#options[option]);
			// The bounds may be others than when the group was given its own.
			const [minimum, maximum] = [Number(this.#options[least]), Number(this.#options[most])];
			return Math.min(Math.max(Number(own), minimum), maximum);
		};
		return {
			sessionTimeoutMs: value(SESSION_TIMEOUT),
			heartbeatIntervalMs: value(HEARTBEAT_INTERVAL),
		};
	}

	#put(groupId: string, overrides: GroupOverrides): void {
		if (overrides.size === 0) this.#own.delete(groupId);
		else this.#own.set(groupId, { overrides, timeouts: this.#timeoutsOf(overrides) });
	}
}

function decodeGroupConfig(key: string, value: Uint8Array): GroupOverrides {
	const { config } = decodeRecord(FORMAT, key, value);
	const overrides = decodeTexts(key, config);
	for (const [name, text] of overrides) {
		// The bounds may be others now; what is no number never was within any.
		if (!/^\d{1,10}$/.test(text)) throw damaged(key, `sets ${name} to what it cannot be`);
	}
	return overrides;
}

/** Throws INVALID_CONFIG. */
function settingOf(name: string): Setting {
	const setting = SETTINGS.get(name);
	if (setting !== undefined) return setting;
	const shown = name.slice(0, VALUE_CHARACTERS_MAX);
	throw invalid(`there is no group configuration ${shown}${didYouMean(name, SETTINGS.keys())}`);
}

function invalid(detail: string): MillraceError {
	return new MillraceError("INVALID_CONFIG", detail);
}
