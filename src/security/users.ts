/**
 * The users and what is kept of their passwords: a view in memory over the metadata store.
 *
 *     users/NAME   { format, credentials }
 *
 * with iterations, salt, stored_key and server_key by mechanism.
 *
 * Who asks for a user that is not there gets a decoy instead, hashed as one of those who are there:
 * the same work is done and the same answers come, so that nobody finds out by asking which users
 * there are.
 */
import { createHmac, randomBytes } from "node:crypto";

import { type Clock, systemClock } from "../clock.ts";
import { MillraceError } from "../errors.ts";
import { InOrder } from "../in-order.ts";
import { LIMITS } from "../limits.ts";
import {
	damaged,
	decodeRecord,
	encodeRecord,
	type RecordKind,
} from "../metadata/metadata-records.ts";
import type { MetadataWriter, OpenedMetadata } from "../metadata/metadata-writer.ts";
import { type Principal, userPrincipal } from "./principal.ts";
import { Refusal } from "./refusal.ts";
import { isKafkaSalt, saltLike } from "./salts.ts";
import {
	credentialOf,
	isPasswordOf,
	keyBytesOf,
	SCRAM_ITERATIONS,
	SCRAM_MECHANISMS,
	type ScramCredential,
	type ScramMechanism,
	saltPassword,
} from "./scram-credential.ts";
import { Turns, type Wait } from "./turns.ts";

const PREFIX = "users/";
const FORMAT = 1;
const SALT_BYTES = 24;
const DECOY_KEY_BYTES = 32;
/** How passwords are hashed that are set here. */
const OWN = { iterations: SCRAM_ITERATIONS.default, salt: Buffer.alloc(SALT_BYTES) };
/** Kinds of credentials that decoys are chosen from: each costs a hash. */
const KINDS_MAX = 64;

type Credentials = ReadonlyMap<ScramMechanism, ScramCredential>;

/** As `Users.open` reads them. */
export const USER_RECORDS: RecordKind<Credentials> = { prefix: PREFIX, decode: decodeUser };

/**
 * What can be told of a user by asking: which hashes are made how often, with how long a salt and
 * of which make.
 */
interface Kind {
	readonly credentials: Credentials;
	/** Users whose credentials are like these. */
	count: number;
}

/** One credential to set, or to remove where it is null. */
export interface CredentialChange {
	readonly name: string;
	readonly mechanism: ScramMechanism;
	readonly credential: ScramCredential | null;
}

/** What a client is challenged with. */
export interface Challenge {
	readonly credential: ScramCredential;
	/** The user does not exist: whatever the client answers is wrong. */
	readonly isDecoy: boolean;
}

/** Some of the names of users, in their order. */
export interface NamesPage {
	readonly names: readonly string[];
	/** Others come after these. */
	readonly isMore: boolean;
}

/** Whether a user may be called so, whoever asks for it. */
export function isUserName(name: string): boolean {
	return name !== "" && Buffer.byteLength(name) <= LIMITS.userNameBytesMax;
}

export class Users {
	readonly #metadata: MetadataWriter;
	readonly #users = new Map<string, Credentials>();
	readonly #kinds = new Map<string, Kind>();
	/** Sorted, since somebody first asked for it: to sort 100,000 for each page holds up all. */
	#names: string[] | undefined;
	/** Makes decoys that stay the same while the broker runs. */
	readonly #decoyKey = randomBytes(DECOY_KEY_BYTES);
	readonly #changes = new InOrder();
	readonly #hashing: Turns;

	private constructor(metadata: MetadataWriter, clock: Clock) {
		this.#metadata = metadata;
		this.#hashing = new Turns(LIMITS.passwordsHashedMax, clock);
	}

	/**
	 * Throws DATA_DAMAGED or DATA_DIRECTORY_NEWER when an entry cannot be read. `clock` is what
	 * passwords wait by.
	 */
	static open({ metadata, entries }: OpenedMetadata, clock: Clock = systemClock): Users {
		const users = new Users(metadata, clock);
		for (const [key, value] of entries) {
			if (key.startsWith(PREFIX)) users.#put(key.slice(PREFIX.length), decodeUser(key, value));
		}
		return users;
	}

	/** The names of all users, sorted by their UTF-16 code units. */
	list(): string[] {
		return [...this.#sorted()];
	}

	/** At most `limit` names, sorted, from the first that comes after `after`. */
	page(after: string, limit: number): NamesPage {
		const names = this.#sorted();
		const begin = placeAfter(names, after);
		const end = begin + limit;
		return { names: names.slice(begin, end), isMore: end < names.length };
	}

	/** How often a user's password is hashed, by mechanism; undefined: there is no such user. */
	describe(name: string): ReadonlyMap<ScramMechanism, number> | undefined {
		const credentials = this.#users.get(name);
		if (credentials === undefined) return undefined;
		const iterations = [...credentials].map(([mechanism, own]) => [mechanism, own.iterations]);
		return new Map(iterations as [ScramMechanism, number][]);
	}

	/** What a client that calls itself so is challenged with. */
	challenge(name: string, mechanism: ScramMechanism): Challenge {
		// Made in any case: who measures finds out nothing, either.
		const decoy = this.#decoy(name, mechanism);
		const credential = this.#users.get(name)?.get(mechanism);
		const isDecoy = credential === undefined;
		return { credential: isDecoy ? decoy : credential, isDecoy };
	}

	/**
	 * The principal of the user whose password this is. Rejects with NOT_AUTHENTICATED, or as
	 * `Turns.run` where too many passwords wait to be hashed.
	 */
	async checkPassword(name: string, password: string, wait?: Wait): Promise<Principal> {
		const has512 = this.#like(name)?.has("SCRAM-SHA-512") ?? true;
		const mechanism = has512 ? "SCRAM-SHA-512" : "SCRAM-SHA-256";
		const { credential, isDecoy } = this.challenge(name, mechanism);
		const check = () => isPasswordOf(mechanism, credential, password);
		const isRight = await this.#hashing.run(check, wait);
		if (!isRight || isDecoy) throw new Refusal("credentials", "name or password");
		return userPrincipal(name);
	}

	/**
	 * Gives a user a password, for all mechanisms; resolves once durable and in force. Rejects as
	 * `alter`, or as `Turns.run` where too many passwords wait to be hashed.
	 */
	async setPassword(name: string, password: string): Promise<void> {
		const { default: iterations } = SCRAM_ITERATIONS;
		const changes = SCRAM_MECHANISMS.map(async (mechanism): Promise<CredentialChange> => {
			const salt = randomBytes(SALT_BYTES);
			const hash = () => saltPassword(mechanism, password, salt, iterations);
			const salted = await this.#hashing.run(hash);
			return { name, mechanism, credential: credentialOf(mechanism, salt, iterations, salted) };
		});
		const made = await Promise.all(changes);
		await this.alter(() => made);
	}

	/** Drops the passwords that wait to be hashed, and hashes no more. */
	close(): void {
		this.#hashing.close();
	}

	/** Removes a user; false: there was none. */
	async remove(name: string): Promise<boolean> {
		let isThere = false;
		await this.alter(() => {
			const mechanisms = [...(this.#users.get(name)?.keys() ?? [])];
			isThere = mechanisms.length > 0;
			return mechanisms.map((mechanism) => ({ name, mechanism, credential: null }));
		});
		return isThere;
	}

	/**
	 * Makes all changes or none; resolves once durable and in force. `changes` is asked when its turn
	 * has come, so that nothing changes in between. Rejects with what `changes` throws, with
	 * POLICY_VIOLATION where there is no room, or with what the metadata store reports.
	 */
	alter(changes: () => readonly CredentialChange[]): Promise<void> {
		return this.#changes.run(async () => {
			const changed = new Map<string, Map<ScramMechanism, ScramCredential>>();
			for (const { name, mechanism, credential } of changes()) {
				const credentials = changed.get(name) ?? new Map(this.#users.get(name));
				changed.set(name, credentials);
				if (credential === null) credentials.delete(mechanism);
				else credentials.set(mechanism, credential);
			}
			if (changed.size === 0) return;
			this.#checkRoom(changed);
			await this.#metadata.commit(
				[...changed].map(([name, credentials]) => ({
					key: PREFIX + name,
					value: credentials.size === 0 ? null : encodeUser(credentials),
				})),
			);
			for (const [name, credentials] of changed) this.#put(name, credentials);
		});
	}

	#checkRoom(changed: ReadonlyMap<string, Credentials>): void {
		const added = [...changed].filter(([name, { size }]) => size > 0 && !this.#users.has(name));
		if (added.length === 0 || this.#users.size + added.length <= LIMITS.usersMax) return;
		throw new MillraceError("POLICY_VIOLATION", `there are at most ${LIMITS.usersMax} users`);
	}

	#put(name: string, credentials: Credentials): void {
		const before = this.#users.get(name);
		const wasThere = before !== undefined;
		const isThere = credentials.size > 0;
		if (wasThere) this.#countKind(before, -1);
		if (isThere) this.#countKind(credentials, 1);
		if (isThere) this.#users.set(name, credentials);
		else this.#users.delete(name);
		const names = this.#names;
		if (names === undefined || wasThere === isThere) return;
		const place = placeAfter(names, name);
		if (isThere) names.splice(place, 0, name);
		else names.splice(place - 1, 1);
	}

	#sorted(): readonly string[] {
		this.#names ??= [...this.#users.keys()].sort();
		return this.#names;
	}

	#countKind(credentials: Credentials, change: 1 | -1): void {
		const name = SCRAM_MECHANISMS.map((mechanism) => {
			const own = credentials.get(mechanism);
			if (own === undefined) return "none";
			return `${own.iterations} ${own.salt.length} ${isKafkaSalt(own.salt)}`;
		}).join();
		const kind = this.#kinds.get(name) ?? { credentials, count: 0 };
		kind.count += change;
		if (kind.count === 0) this.#kinds.delete(name);
		else this.#kinds.set(name, kind);
	}

	/**
	 * The credentials of a user, or such as somebody who is not there could have: each kind as
	 * probably as users have it, and the same for a name while users come and go, but for the share
	 * that they change.
	 */
	#like(name: string): Credentials | undefined {
		let like: Credentials | undefined;
		let least = Infinity;
		let left = KINDS_MAX;
		for (const [kindName, { credentials, count }] of this.#kinds) {
			if (left-- === 0) break;
			const random = (this.#derive(`kind ${kindName}`, name).readUInt32BE() + 1) / 2 ** 32;
			// Weighted rendezvous: the least of exponential variables, whose rates are the counts.
			const score = -Math.log(random) / count;
			if (score < least) [like, least] = [credentials, score];
		}
		return this.#users.get(name) ?? like;
	}

	/** The same for the same name, and made like the credentials of users. */
	#decoy(name: string, mechanism: ScramMechanism): ScramCredential {
		const like = this.#like(name);
		const [other] = like?.values() ?? [];
		const { iterations, salt } = like?.get(mechanism) ?? other ?? OWN;
		const derived = (what: string) => this.#derive(`${what} ${mechanism}`, name);
		return {
			iterations,
			salt: saltLike(salt, derived(`salt ${salt.length} ${isKafkaSalt(salt)}`)),
			storedKey: derived("stored key").subarray(0, keyBytesOf(mechanism)),
			serverKey: derived("server key").subarray(0, keyBytesOf(mechanism)),
		};
	}

	/** `name` is the whole of one that a user may have, and of others enough: anybody may ask. */
	#derive(what: string, name: string): Buffer {
		const begin = name.slice(0, LIMITS.userNameBytesMax + 1);
		return createHmac("sha512", this.#decoyKey).update(`${what} ${begin}`).digest();
	}
}

/** Index of the first of the sorted names that comes after `name`. */
function placeAfter(names: readonly string[], name: string): number {
	let [least, most] = [0, names.length];
	while (least < most) {
		const middle = (least + most) >>> 1;
		if ((names[middle] as string) > name) most = middle;
		else least = middle + 1;
	}
	return least;
}

function encodeUser(credentials: Credentials): Uint8Array {
	const encoded = [...credentials].map(([mechanism, own]) => [
		mechanism,
		{
			iterations: own.iterations,
			salt: own.salt.toString("base64"),
			stored_key: own.storedKey.toString("base64"),
			server_key: own.serverKey.toString("base64"),
		},
	]);
	return encodeRecord(FORMAT, { credentials: Object.fromEntries(encoded) });
}

function decodeUser(key: string, value: Uint8Array): Credentials {
	const { credentials } = decodeRecord(FORMAT, key, value);
	if (typeof credentials !== "object" || credentials === null) {
		throw damaged(key, "has no credentials");
	}
	const decoded = new Map<ScramMechanism, ScramCredential>();
	for (const [name, fields] of Object.entries(credentials)) {
		const mechanism = SCRAM_MECHANISMS.find((known) => known === name);
		if (mechanism === undefined) throw damaged(key, `has an unknown mechanism ${name}`);
		decoded.set(mechanism, decodeCredential(key, mechanism, Object(fields)));
	}
	return decoded;
}

function decodeCredential(
	key: string,
	mechanism: ScramMechanism,
	fields: Record<string, unknown>,
): ScramCredential {
	const bytes = (name: string): Buffer => {
		const text = fields[name];
		if (typeof text !== "string") throw damaged(key, `has no ${name}`);
		return Buffer.from(text, "base64");
	};
	const { iterations } = fields;
	const [storedKey, serverKey] = [bytes("stored_key"), bytes("server_key")];
	const isWhole = [storedKey, serverKey].every(({ length }) => length === keyBytesOf(mechanism));
	if (!Number.isSafeInteger(iterations) || !isWhole) throw damaged(key, "has no whole credential");
	return { iterations: iterations as number, salt: bytes("salt"), storedKey, serverKey };
}
