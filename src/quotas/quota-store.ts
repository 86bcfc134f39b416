/**
 * The quotas that are set: a view in memory over the metadata store.
 *
 *     quotas/UUID   { format, user, client_id, rates }
 *
 * with `user` and `client_id` null for the default, absent where they do not matter, and the rates
 * by the name of their quota.
 */
import { randomUUID } from "node:crypto";

import { MillraceError } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import {
	damaged,
	decodeRecord,
	encodeRecord,
	type RecordKind,
} from "../metadata/metadata-records.ts";
import type { MetadataWriter, OpenedMetadata } from "../metadata/metadata-writer.ts";
import { entityKey, levelsOf, type QuotaEntity } from "./quota-entity.ts";
import { insteadOf, isQuotaKey, QUOTA_KEYS, type QuotaKey } from "./quota-keys.ts";

const PREFIX = "quotas/";
const FORMAT = 1;

export type QuotaRates = ReadonlyMap<QuotaKey, number>;

export interface Quota {
	readonly entity: QuotaEntity;
	readonly rates: QuotaRates;
}

/** Rates to set for an entity, or to remove where they are null. */
export interface QuotaChange {
	readonly entity: QuotaEntity;
	readonly rates: ReadonlyMap<QuotaKey, number | null>;
}

/** A limit that a client is under. */
export interface QuotaLimit {
	readonly key: QuotaKey;
	/** So much a second. */
	readonly bound: number;
	/** The entity that it is set for. */
	readonly entity: QuotaEntity;
	/** Who is counted together. */
	readonly sharedBy: QuotaEntity;
}

interface Stored extends Quota {
	readonly metadataKey: string;
}

/** As `QuotaStore.open` reads them. */
export const QUOTA_RECORDS: RecordKind<Quota> = { prefix: PREFIX, decode: decodeQuota };

export class QuotaStore {
	readonly #metadata: MetadataWriter;
	readonly #quotas = new Map<string, Stored>();
	readonly #listeners: (() => void)[] = [];
	#epoch = 0;
	/** Settles when the last change asked for is done; never rejects. */
	#lastChange: Promise<unknown> = Promise.resolve();

	private constructor(metadata: MetadataWriter) {
		this.#metadata = metadata;
	}

	/** Throws DATA_DAMAGED or DATA_DIRECTORY_NEWER when an entry cannot be read. */
	static open({ metadata, entries }: OpenedMetadata): QuotaStore {
		const store = new QuotaStore(metadata);
		for (const [key, value] of entries) {
			if (!key.startsWith(PREFIX)) continue;
			const quota = decodeQuota(key, value);
			store.#quotas.set(entityKey(quota.entity), { ...quota, metadataKey: key });
		}
		return store;
	}

	get isEmpty(): boolean {
		return this.#quotas.size === 0;
	}

	/** Rises with every change. */
	get epoch(): number {
		return this.#epoch;
	}

	/** Calls `changed` after every change. */
	onChange(changed: () => void): void {
		this.#listeners.push(changed);
	}

	/** All that are set, in the order of their entities. */
	list(): Quota[] {
		const sorted = [...this.#quotas].sort(([left], [right]) => (left < right ? -1 : 1));
		return sorted.map(([, { entity, rates }]) => ({ entity, rates }));
	}

	/** The limits of a client: of each quota the one that wins. */
	limitsOf(user: string, clientId: string): QuotaLimit[] {
		const levels = levelsOf(user, clientId);
		return QUOTA_KEYS.flatMap((key) => {
			for (const { key: level, entity, sharedBy } of levels) {
				const bound = this.#quotas.get(level)?.rates.get(key);
				if (bound !== undefined) return [{ key, bound, entity, sharedBy }];
			}
			return [];
		});
	}

	/**
	 * Makes all changes or none; resolves once durable and in force. Rejects with INVALID_REQUEST,
	 * with POLICY_VIOLATION where there is no room, or with what the metadata store reports.
	 */
	alter(changes: readonly QuotaChange[]): Promise<void> {
		const result = this.#lastChange.then(async () => {
			const changed = this.#changed(changes);
			if (changed.size === 0) return;
			await this.#metadata.commit(
				[...changed.values()].map((quota) => ({
					key: quota.metadataKey,
					value: quota.rates.size === 0 ? null : encodeQuota(quota),
				})),
			);
			for (const [key, quota] of changed) {
				if (quota.rates.size === 0) this.#quotas.delete(key);
				else this.#quotas.set(key, quota);
			}
			this.#epoch++;
			for (const listener of this.#listeners) listener();
		});
		this.#lastChange = result.catch(() => undefined);
		return result;
	}

	/** Throws what `alter` would be refused with, and changes nothing. */
	check(changes: readonly QuotaChange[]): void {
		this.#changed(changes);
	}

	#changed(changes: readonly QuotaChange[]): Map<string, Stored> {
		const changed = new Map<string, Stored>();
		for (const { entity, rates } of changes) {
			checkEntity(entity);
			const key = entityKey(entity);
			const before = changed.get(key) ?? this.#quotas.get(key);
			const next = new Map(before?.rates);
			for (const [quota, rate] of rates) {
				if (rate === null) next.delete(quota);
				else next.set(quota, checkedRate(quota, rate));
			}
			if (before === undefined && next.size === 0) continue;
			const metadataKey = before?.metadataKey ?? PREFIX + randomUUID();
			changed.set(key, { entity, rates: next, metadataKey });
		}
		const added = [...changed].filter(
			([key, { rates }]) => rates.size > 0 && !this.#quotas.has(key),
		);
		if (added.length > 0 && this.#quotas.size + added.length > LIMITS.quotasMax) {
			const most = `quotas can be set for at most ${LIMITS.quotasMax} users and clients`;
			throw new MillraceError("POLICY_VIOLATION", most);
		}
		return changed;
	}
}

/** The quota of this name. Throws INVALID_REQUEST. */
export function checkedQuotaKey(key: string): QuotaKey {
	if (isQuotaKey(key)) return key;
	const instead = insteadOf(key);
	throw new MillraceError(
		"INVALID_REQUEST",
		instead === undefined
			? `Invalid configuration key ${key.slice(0, LIMITS.quotaNameBytesMax)}`
			: `${key} is not enforced by this broker: ${instead}`,
	);
}

function checkEntity({ user, clientId }: QuotaEntity): void {
	if (user === undefined && clientId === undefined) {
		throw new MillraceError("INVALID_REQUEST", "Invalid empty client quota entity");
	}
	for (const [type, name] of Object.entries({ user, "client-id": clientId })) {
		if (name === "") throw new MillraceError("INVALID_REQUEST", `Empty ${type} not supported`);
		if (typeof name === "string" && Buffer.byteLength(name) > LIMITS.quotaNameBytesMax) {
			throw new MillraceError("INVALID_REQUEST", `the ${type} is too long`);
		}
	}
}

function checkedRate(key: QuotaKey, rate: number): number {
	if (isRate(rate)) return rate;
	throw new MillraceError("INVALID_REQUEST", `${key} is above zero, not ${rate}`);
}

const isRate = (rate: unknown): rate is number =>
	typeof rate === "number" && Number.isFinite(rate) && rate > 0;

function encodeQuota({ entity, rates }: Quota): Uint8Array {
	const { user, clientId } = entity;
	return encodeRecord(FORMAT, { user, client_id: clientId, rates: Object.fromEntries(rates) });
}

function decodeQuota(key: string, value: Uint8Array): Quota {
	const { user, client_id: clientId, rates } = decodeRecord(FORMAT, key, value);
	if (!isNamed(user) || !isNamed(clientId)) throw damaged(key, "has no entity");
	const decoded = new Map<QuotaKey, number>();
	for (const [name, rate] of Object.entries(Object(rates))) {
		if (!isQuotaKey(name) || !isRate(rate)) throw damaged(key, `has an unknown rate ${name}`);
		decoded.set(name, rate);
	}
	const entity = {
		...(user === undefined ? {} : { user }),
		...(clientId === undefined ? {} : { clientId }),
	};
	return { entity, rates: decoded };
}

const isNamed = (name: unknown): name is string | null | undefined =>
	name === undefined || name === null || typeof name === "string";
