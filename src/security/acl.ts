/**
 * Access rules in Kafka's model, with Kafka's numbers: who may (or may not) do what with which
 * resources, from which host.
 */
import { MillraceError } from "../errors.ts";

export const RESOURCE_TYPE = {
	topic: 2,
	group: 3,
	cluster: 4,
	transactionalId: 5,
	delegationToken: 6,
	user: 7,
} as const;

/** `match` stands in filters alone: all patterns that a name falls under. */
export const PATTERN_TYPE = { match: 2, literal: 3, prefixed: 4 } as const;

export const ACL_OPERATION = {
	all: 2,
	read: 3,
	write: 4,
	create: 5,
	delete: 6,
	alter: 7,
	describe: 8,
	clusterAction: 9,
	describeConfigs: 10,
	alterConfigs: 11,
	idempotentWrite: 12,
	createTokens: 13,
	describeTokens: 14,
	twoPhaseCommit: 15,
} as const;

export const PERMISSION = { deny: 2, allow: 3 } as const;

/** In filters: whatever stands there. */
export const ANY = 1;

/** Every name of a resource, and every host. */
export const WILDCARD = "*";
export const WILDCARD_PRINCIPAL = "User:*";

/** The one resource of the type cluster. */
export const CLUSTER_NAME = "kafka-cluster";

/** Characters of each text of a rule: all of them are kept in memory. */
const TEXT_CHARACTERS_MAX = 1_000;

/** One rule; numbers are those of the tables above. */
export interface Acl {
	readonly resourceType: number;
	readonly resourceName: string;
	readonly patternType: number;
	readonly principal: string;
	readonly host: string;
	readonly operation: number;
	readonly permission: number;
}

/** What rules are asked for by: null and ANY match everything. */
export interface AclFilter extends Omit<Acl, "resourceName" | "principal" | "host"> {
	readonly resourceName: string | null;
	readonly principal: string | null;
	readonly host: string | null;
}

const TYPES = numbersOf(RESOURCE_TYPE);
const OPERATIONS = numbersOf(ACL_OPERATION);
const PERMISSIONS = numbersOf(PERMISSION);

/** Tells two rules apart: two of the same content are one. */
export function aclKey(acl: Acl): string {
	const { resourceType, resourceName, patternType, principal, host, operation, permission } = acl;
	return JSON.stringify([
		resourceType,
		patternType,
		resourceName,
		principal,
		host,
		operation,
		permission,
	]);
}

/** Throws INVALID_REQUEST for what cannot be a rule. */
export function checkAcl(acl: Acl): void {
	const { resourceType, resourceName, patternType, principal, host, operation, permission } = acl;
	if (!TYPES.has(resourceType)) invalid(`there is no resource type ${resourceType}`);
	if (patternType !== PATTERN_TYPE.literal && patternType !== PATTERN_TYPE.prefixed) {
		invalid(`there are no rules of pattern type ${patternType}`);
	}
	if (!OPERATIONS.has(operation)) invalid(`there is no operation ${operation}`);
	if (!PERMISSIONS.has(permission)) invalid(`there is no permission ${permission}`);
	if (resourceName === "") invalid("the resource has no name");
	if (resourceType === RESOURCE_TYPE.cluster && resourceName !== CLUSTER_NAME) {
		invalid(`the only resource of the type cluster is ${CLUSTER_NAME}`);
	}
	if (!/^[^:]+:./.test(principal)) invalid("a principal is a type and a name, such as User:alice");
	if (host === "") invalid("the host is empty; * stands for all");
	for (const text of [resourceName, principal, host]) {
		if (text.length > TEXT_CHARACTERS_MAX)
			invalid(`a text has over ${TEXT_CHARACTERS_MAX} characters`);
	}
}

/** Throws INVALID_REQUEST for a filter that names what there is not. */
export function checkAclFilter(filter: AclFilter): void {
	const { resourceType, patternType, operation, permission } = filter;
	const isKnown = (known: ReadonlySet<number>, number: number) =>
		number === ANY || known.has(number);
	if (!isKnown(TYPES, resourceType)) invalid(`there is no resource type ${resourceType}`);
	if (!isKnown(numbersOf(PATTERN_TYPE), patternType)) {
		invalid(`there is no pattern type ${patternType}`);
	}
	if (!isKnown(OPERATIONS, operation)) invalid(`there is no operation ${operation}`);
	if (!isKnown(PERMISSIONS, permission)) invalid(`there is no permission ${permission}`);
}

/** Whether a filter asks for a rule. */
export function matchesAcl(filter: AclFilter, acl: Acl): boolean {
	return (
		(filter.resourceType === ANY || filter.resourceType === acl.resourceType) &&
		matchesPattern(filter, acl) &&
		(filter.principal === null || filter.principal === acl.principal) &&
		(filter.host === null || filter.host === acl.host) &&
		(filter.operation === ANY || filter.operation === acl.operation) &&
		(filter.permission === ANY || filter.permission === acl.permission)
	);
}

function matchesPattern({ patternType, resourceName }: AclFilter, acl: Acl): boolean {
	if (patternType === PATTERN_TYPE.match) {
		if (resourceName === null) return true;
		if (acl.patternType === PATTERN_TYPE.prefixed) return resourceName.startsWith(acl.resourceName);
		return acl.resourceName === resourceName || acl.resourceName === WILDCARD;
	}
	if (patternType !== ANY && patternType !== acl.patternType) return false;
	return resourceName === null || resourceName === acl.resourceName;
}

function numbersOf(table: Readonly<Record<string, number>>): ReadonlySet<number> {
	return new Set(Object.values(table));
}

function invalid(particular: string): never {
	throw new MillraceError("INVALID_REQUEST", particular);
}
