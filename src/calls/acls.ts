/** acls.list, .create, .delete */
import { MillraceError } from "../errors.ts";
import {
	ACLS_LISTED_MAX,
	type AclOperationName,
	type AclPatternName,
	type AclResourceName,
	type AclRule,
	type CallAnswer,
} from "../protocol/calls.ts";
import {
	ACL_OPERATION,
	type Acl,
	type AclFilter,
	ANY,
	aclKey,
	PATTERN_TYPE,
	PERMISSION,
	RESOURCE_TYPE,
} from "../security/acl.ts";
import type { AclAuthorizer } from "../security/authorizer.ts";
import { Arguments, invalid, isMap } from "./arguments.ts";
import type { AnswerMap, Caller } from "./caller.ts";

/** What rules are made of, by the names that calls have for it. */
export const ACL_RESOURCE_NUMBERS: Readonly<Record<AclResourceName, number>> = {
	topic: RESOURCE_TYPE.topic,
	group: RESOURCE_TYPE.group,
	cluster: RESOURCE_TYPE.cluster,
	transactional_id: RESOURCE_TYPE.transactionalId,
	delegation_token: RESOURCE_TYPE.delegationToken,
	user: RESOURCE_TYPE.user,
};

export const ACL_PATTERN_NUMBERS: Readonly<Record<AclPatternName, number>> = {
	literal: PATTERN_TYPE.literal,
	prefixed: PATTERN_TYPE.prefixed,
	match: PATTERN_TYPE.match,
};

export const ACL_OPERATION_NUMBERS: Readonly<Record<AclOperationName, number>> = {
	all: ACL_OPERATION.all,
	read: ACL_OPERATION.read,
	write: ACL_OPERATION.write,
	create: ACL_OPERATION.create,
	delete: ACL_OPERATION.delete,
	alter: ACL_OPERATION.alter,
	describe: ACL_OPERATION.describe,
	cluster_action: ACL_OPERATION.clusterAction,
	describe_configs: ACL_OPERATION.describeConfigs,
	alter_configs: ACL_OPERATION.alterConfigs,
	idempotent_write: ACL_OPERATION.idempotentWrite,
	create_tokens: ACL_OPERATION.createTokens,
	describe_tokens: ACL_OPERATION.describeTokens,
	two_phase_commit: ACL_OPERATION.twoPhaseCommit,
};

export const ACL_PERMISSION_NUMBERS = { allow: PERMISSION.allow, deny: PERMISSION.deny } as const;

export function listAcls(caller: Caller, parameters: Arguments): AnswerMap {
	const after = parameters.optionalString("after") ?? "";
	const rules = rulesOf(caller)
		.list(filterFrom(parameters))
		.map((acl) => ({ acl, key: aclKey(acl) }))
		.filter(({ key }) => key > after);
	const page = rules.slice(0, ACLS_LISTED_MAX);
	const next = rules.length > page.length ? (page.at(-1)?.key ?? null) : null;
	return {
		acls: page.map(({ acl }) => ({ ...ruleOf(acl) })),
		next,
	} satisfies CallAnswer<"acls.list">;
}

export async function createAcls(caller: Caller, parameters: Arguments): Promise<AnswerMap> {
	const value = parameters.value("acls");
	if (!Array.isArray(value)) return invalid("acls", "is not an array");
	if (value.length > ACLS_LISTED_MAX) return invalid("acls", `are more than ${ACLS_LISTED_MAX}`);
	const acls = value.map((each) =>
		isMap(each) ? aclFrom(new Arguments(each)) : invalid("acls", "has what is no map"),
	);
	await rulesOf(caller).create(acls);
	return {};
}

export async function deleteAcls(caller: Caller, parameters: Arguments): Promise<AnswerMap> {
	const [deleted = []] = await rulesOf(caller).delete([filterFrom(parameters)]);
	return { deleted: deleted.length } satisfies CallAnswer<"acls.delete">;
}

/** Throws SECURITY_DISABLED. */
function rulesOf({ host }: Caller): AclAuthorizer {
	if (host.acls === null) throw new MillraceError("SECURITY_DISABLED");
	return host.acls;
}

function aclFrom(fields: Arguments): Acl {
	return {
		resourceType: numberOf(ACL_RESOURCE_NUMBERS, fields, "resource", null),
		resourceName: fields.string("name"),
		patternType: numberOf(ACL_PATTERN_NUMBERS, fields, "pattern", PATTERN_TYPE.literal),
		principal: fields.string("principal"),
		host: fields.optionalString("host") ?? "*",
		operation: numberOf(ACL_OPERATION_NUMBERS, fields, "operation", null),
		permission: numberOf(ACL_PERMISSION_NUMBERS, fields, "permission", PERMISSION.allow),
	};
}

function filterFrom(fields: Arguments): AclFilter {
	return {
		resourceType: numberOf(ACL_RESOURCE_NUMBERS, fields, "resource", ANY),
		resourceName: fields.optionalString("name") ?? null,
		patternType: numberOf(ACL_PATTERN_NUMBERS, fields, "pattern", ANY),
		principal: fields.optionalString("principal") ?? null,
		host: fields.optionalString("host") ?? null,
		operation: numberOf(ACL_OPERATION_NUMBERS, fields, "operation", ANY),
		permission: numberOf(ACL_PERMISSION_NUMBERS, fields, "permission", ANY),
	};
}

/** The number of what a field names; `absent` where it is not there (null: that is an error). */
function numberOf(
	numbers: Readonly<Record<string, number>>,
	fields: Arguments,
	name: string,
	absent: number | null,
): number {
	const text = fields.optionalString(name);
	if (text === undefined) return absent ?? invalid(name, "is missing");
	if (Object.hasOwn(numbers, text)) return numbers[text] as number;
	return invalid(name, `is none of ${Object.keys(numbers).join(", ")}`);
}

function ruleOf(acl: Acl): AclRule {
	return {
		resource: nameOf(ACL_RESOURCE_NUMBERS, acl.resourceType),
		name: acl.resourceName,
		pattern: nameOf(ACL_PATTERN_NUMBERS, acl.patternType),
		principal: acl.principal,
		host: acl.host,
		operation: nameOf(ACL_OPERATION_NUMBERS, acl.operation),
		permission: nameOf(ACL_PERMISSION_NUMBERS, acl.permission),
	};
}

/** What a number is called. Rules that are kept have known ones. */
function nameOf<Name extends string>(
	numbers: Readonly<Record<Name, number>>,
	number: number,
): Name {
	for (const name of Object.keys(numbers) as Name[]) if (numbers[name] === number) return name;
	throw new Error(`no name for ${number}`);
}
