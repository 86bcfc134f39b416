/** What requests of each API that changes something have changed, for the audit log. */
import { isAuthorizationFailure } from "../audit/audit-log.ts";
import { codeName } from "../errors.ts";
import { CODES } from "../protocol/codes.ts";
import { CLUSTER_NAME } from "../security/acl.ts";
import type { ApiFacts } from "./api.ts";
import type { Exchange } from "./exchange.ts";

/** One thing that a request named, and what became of it. */
export interface AuditedChange {
	/** Its kind and its name: "topic orders". */
	readonly resource: string;
	readonly errorCode: number;
	/** Some clients do it all the time. */
	readonly isFrequent?: boolean;
}

/** By Kafka's numbers for what has a configuration. */
const CONFIG_RESOURCES: Readonly<Record<number, string>> = { 2: "topic", 4: "broker", 32: "group" };

/** What became of things by their names, such as topics. */
export const named =
	(kind: string) =>
	(results: readonly { readonly name: string | null; readonly errorCode: number }[]) =>
		results.map(({ name, errorCode }) => ({ resource: `${kind} ${name}`, errorCode }));

export function configResources(
	results: readonly {
		readonly resourceType: number;
		readonly resourceName: string;
		readonly errorCode: number;
	}[],
): AuditedChange[] {
	return results.map(({ resourceType, resourceName, errorCode }) => {
		const kind = CONFIG_RESOURCES[resourceType] ?? `resource ${resourceType}`;
		return { resource: `${kind} ${resourceName}`, errorCode };
	});
}

/** What became of rules, of which there may be many: as a whole. */
export function rules(results: readonly { readonly errorCode: number }[]): AuditedChange[] {
	const resource = `cluster ${CLUSTER_NAME}, ${results.length} access rules`;
	return [{ resource, errorCode: firstError(results) }];
}

/** Quotas of users and clients; of all of a kind where there is no name. */
export function quotas(
	entries: readonly {
		readonly entity: readonly { readonly entityType: string; readonly entityName: string | null }[];
		readonly errorCode: number;
	}[],
): AuditedChange[] {
	return entries.map(({ entity, errorCode }) => {
		const names = entity.map(({ entityType, entityName }) => `${entityType} ${entityName ?? "*"}`);
		return { resource: `quotas of ${names.join(", ")}`, errorCode };
	});
}

/** Offsets that nobody's membership has committed: a reset, or a consumer that is in no group. */
export function offsetsSet(
	{ groupId, memberId = "" }: { readonly groupId: string; readonly memberId?: string | undefined },
	topics: readonly { readonly partitions: readonly { readonly errorCode: number }[] }[],
): AuditedChange[] {
	if (memberId !== "") return [];
	const errorCode = firstError(topics.flatMap(({ partitions }) => partitions));
	return [{ resource: `group ${groupId}`, errorCode, isFrequent: true }];
}

/** The first error; NONE where there is none. */
export function firstError(results: readonly { readonly errorCode: number }[]): number {
	const failed = results.find(({ errorCode }) => errorCode !== CODES.NONE.code);
	return failed?.errorCode ?? CODES.NONE.code;
}

/** Notes what a request has changed. */
export function auditChanges(
	{ name }: ApiFacts,
	changes: readonly AuditedChange[],
	{ host: { audit }, peer }: Exchange,
): void {
	for (const { resource, errorCode, isFrequent } of changes) {
		const action = { protocol: "kafka", operation: name, resource } as const;
		if (errorCode !== CODES.NONE.code) audit?.refused(peer, action, codeName(errorCode));
		else if (isFrequent === true) audit?.changedAgain(peer, action);
		else audit?.changed(peer, action);
	}
}

/** Notes that a client was not allowed something; other errors say nothing of clients. */
export function auditRefusal({ name }: ApiFacts, code: number, exchange: Exchange): void {
	const { host, peer } = exchange;
	if (host.audit === null || !isAuthorizationFailure(code)) return;
	host.audit.refused(peer, { protocol: "kafka", operation: name }, codeName(code));
}
