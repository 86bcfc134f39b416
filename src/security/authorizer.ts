/**
 * Who may do what: the access rules that are stored, and the answers that follow from them.
 *
 *     acls/UUID   { format, resource_type, pattern_type, name, principal, host, operation,
 *                   permission }
 *
 * Answers are remembered for each client, by operation and resource type, so that the hot path is
 * one look-up by name; every change of the rules makes them void.
 */
import { randomUUID } from "node:crypto";

import { MillraceError } from "../errors.ts";
import { InOrder } from "../in-order.ts";
import { LIMITS } from "../limits.ts";
import {
	damaged,
	decodeRecord,
	encodeRecord,
	type RecordKind,
} from "../metadata/metadata-records.ts";
import type { MetadataChange } from "../metadata/metadata-store.ts";
import type { MetadataWriter, OpenedMetadata } from "../metadata/metadata-writer.ts";
import { type Acl, type AclFilter, aclKey, checkAcl, checkAclFilter, matchesAcl } from "./acl.ts";
import { AclTable } from "./acl-table.ts";

/** What one client may do. */
export interface Access {
	/** Whether an operation (ACL_OPERATION) is allowed on a resource. */
	allows(operation: number, resourceType: number, name: string): boolean;
	/** Whether it is allowed on any resource of the type, as far as rules tell. */
	allowsAny(operation: number, resourceType: number): boolean;
}

/** What connections ask of it. */
export interface Authorizer {
	/** Rises with every change of what anybody may do. */
	readonly epoch: number;
	accessOf(principal: string, host: string): Access;
}

const EVERYTHING: Access = { allows: () => true, allowsAny: () => true };

/** Everybody may do everything. */
export const NO_AUTHORIZATION: Authorizer = { epoch: 0, accessOf: () => EVERYTHING };

export interface AuthorizerOptions {
	/** Principals that may do everything, whatever rules say; separated by semicolons. */
	readonly superUsers: string;
	/** Whether what no rule speaks of is allowed. */
	readonly allowEveryoneIfNoAclFound: boolean;
}

const PREFIX = "acls/";
const FORMAT = 1;

/** As `AclAuthorizer.open` reads them. */
export const ACL_RECORDS: RecordKind<Acl> = { prefix: PREFIX, decode: decodeAcl };

export class AclAuthorizer implements Authorizer {
	readonly #metadata: MetadataWriter;
	readonly #superUsers: ReadonlySet<string>;
	readonly #otherwise: boolean;
	/** By what tells them apart and in its order, with where they are stored. */
	#acls: ReadonlyMap<string, { readonly key: string; readonly acl: Acl }> = new Map();
	#table = new AclTable([]);
	#epoch = 0;
	readonly #changes = new InOrder();

	private constructor(metadata: MetadataWriter, options: AuthorizerOptions) {
		this.#metadata = metadata;
		this.#superUsers = new Set(options.superUsers.split(";"));
		this.#otherwise = options.allowEveryoneIfNoAclFound;
	}

	/**
	 * Makes it of what is stored. Throws DATA_DAMAGED or DATA_DIRECTORY_NEWER when a rule cannot be
	 * read: without it others would decide.
	 */
	static open({ metadata, entries }: OpenedMetadata, options: AuthorizerOptions): AclAuthorizer {
		const authorizer = new AclAuthorizer(metadata, options);
		const acls = new Map<string, { key: string; acl: Acl }>();
		for (const [key, value] of entries) {
			if (!key.startsWith(PREFIX)) continue;
			const acl = decodeAcl(key, value);
			acls.set(aclKey(acl), { key, acl });
		}
		authorizer.#put(acls);
		return authorizer;
	}

	get epoch(): number {
		return this.#epoch;
	}

	accessOf(principal: string, host: string): Access {
		return new RememberedAccess(this, principal, host);
	}

	/** Decides anew. */
	decide(client: Client, operation: number, resourceType: number, name: string): boolean {
		if (this.#superUsers.has(client.principal)) return true;
		return this.#table.allows({ ...client, operation, resourceType }, name, this.#otherwise);
	}

	/** Decides anew whether there is any resource on which the operation is allowed. */
	decideAny(client: Client, operation: number, resourceType: number): boolean {
		if (this.#superUsers.has(client.principal)) return true;
		return this.#table.allowsAny({ ...client, operation, resourceType }, this.#otherwise);
	}

	/** The rules that a filter asks for, in the order of their `aclKey`. Throws INVALID_REQUEST. */
	list(filter: AclFilter): Acl[] {
		checkAclFilter(filter);
		return [...this.#acls.values()].flatMap(({ acl }) => (matchesAcl(filter, acl) ? [acl] : []));
	}

	/**
	 * Adds rules; resolves once they are durable and in force. Those that are there already stay.
	 * Rejects with INVALID_REQUEST for what is none, with POLICY_VIOLATION where there is no room, or
	 * with what the metadata store reports.
	 */
	create(acls: readonly Acl[]): Promise<void> {
		for (const acl of acls) checkAcl(acl);
		return this.#changes.run(async () => {
			const next = new Map(this.#acls);
			const added: MetadataChange[] = [];
			for (const acl of acls) {
				const content = aclKey(acl);
				if (next.has(content)) continue;
				const key = PREFIX + randomUUID();
				next.set(content, { key, acl });
				added.push({ key, value: encodeAcl(acl) });
			}
			if (next.size > LIMITS.aclsMax) {
				throw new MillraceError("POLICY_VIOLATION", `there are at most ${LIMITS.aclsMax} rules`);
			}
			if (added.length === 0) return;
			await this.#metadata.commit(added);
			this.#put(next);
		});
	}

	/**
	 * Removes the rules that filters ask for; resolves once they are gone for good, to those of each
	 * filter. Rejects with INVALID_REQUEST or with what the metadata store reports.
	 */
	delete(filters: readonly AclFilter[]): Promise<Acl[][]> {
		for (const filter of filters) checkAclFilter(filter);
		return this.#changes.run(async () => {
			const removed = filters.map((filter) => this.list(filter));
			const next = new Map(this.#acls);
			const changes: MetadataChange[] = [];
			for (const acl of removed.flat()) {
				const content = aclKey(acl);
				const stored = next.get(content);
				// Another filter has asked for it, too.
				if (stored === undefined) continue;
				next.delete(content);
				changes.push({ key: stored.key, value: null });
			}
			if (changes.length === 0) return removed;
			await this.#metadata.commit(changes);
			this.#put(next);
			return removed;
		});
	}

	#put(acls: ReadonlyMap<string, { readonly key: string; readonly acl: Acl }>): void {
		// Here, where rules change: clients ask for one page of a long list after the other.
		this.#acls = new Map([...acls].sort(([left], [right]) => (left < right ? -1 : 1)));
		this.#table = new AclTable([...acls.values()].map(({ acl }) => acl));
		this.#epoch++;
	}
}

interface Client {
	readonly principal: string;
	readonly host: string;
}

/** Remembers answers until the rules change. */
class RememberedAccess implements Access {
	readonly #authorizer: AclAuthorizer;
	readonly #client: Client;
	/** By operation and resource type, then by name. */
	#answers: Map<string, boolean>[] = [];
	#count = 0;
	/** About any resource, by operation and resource type. */
	#answersOfAny: boolean[] = [];
	#epoch = 0;

	constructor(authorizer: AclAuthorizer, principal: string, host: string) {
		this.#authorizer = authorizer;
		this.#client = { principal, host };
	}

	allows(operation: number, resourceType: number, name: string): boolean {
		// Clients make names up as long as a frame: to keep those would be to keep what they like.
		if (name.length > LIMITS.topicNameCharactersMax) {
			return this.#authorizer.decide(this.#client, operation, resourceType, name);
		}
		if (this.#epoch !== this.#authorizer.epoch) this.#forget();
		const kind = kindOf(operation, resourceType);
		const known = this.#answers[kind]?.get(name);
		if (known !== undefined) return known;
		if (this.#count >= LIMITS.accessAnswersMax) this.#forget();
		const answer = this.#authorizer.decide(this.#client, operation, resourceType, name);
		this.#answers[kind] ??= new Map();
		this.#answers[kind].set(name, answer);
		this.#count++;
		return answer;
	}

	allowsAny(operation: number, resourceType: number): boolean {
		if (this.#epoch !== this.#authorizer.epoch) this.#forget();
		const kind = kindOf(operation, resourceType);
		this.#answersOfAny[kind] ??= this.#authorizer.decideAny(this.#client, operation, resourceType);
		return this.#answersOfAny[kind];
	}

	#forget(): void {
		this.#answers = [];
		this.#count = 0;
		this.#answersOfAny = [];
		this.#epoch = this.#authorizer.epoch;
	}
}

const kindOf = (operation: number, resourceType: number) => resourceType * 16 + operation;

function encodeAcl(acl: Acl): Uint8Array {
	return encodeRecord(FORMAT, {
		resource_type: acl.resourceType,
		pattern_type: acl.patternType,
		name: acl.resourceName,
		principal: acl.principal,
		host: acl.host,
		operation: acl.operation,
		permission: acl.permission,
	});
}

function decodeAcl(key: string, value: Uint8Array): Acl {
	const fields = decodeRecord(FORMAT, key, value);
	const acl = {
		resourceType: Number(fields.resource_type),
		resourceName: String(fields.name ?? ""),
		patternType: Number(fields.pattern_type),
		principal: String(fields.principal ?? ""),
		host: String(fields.host ?? ""),
		operation: Number(fields.operation),
		permission: Number(fields.permission),
	};
	try {
		checkAcl(acl);
	} catch (cause) {
		throw damaged(key, "is no access rule", cause);
	}
	return acl;
}
