/**
 * What a set of access rules decides, as Kafka's StandardAuthorizer does: deny wins, operations
 * imply others where they are allowed, and what no rule speaks of is refused unless an option says
 * otherwise. Pure: a change of the rules makes a new table.
 */
import {
	ACL_OPERATION,
	type Acl,
	PATTERN_TYPE,
	PERMISSION,
	WILDCARD,
	WILDCARD_PRINCIPAL,
} from "./acl.ts";

/** Who asks, and what for. */
export interface AclQuestion {
	readonly principal: string;
	readonly host: string;
	readonly operation: number;
	readonly resourceType: number;
}

/** The rules of one resource type. */
interface TypeRules {
	readonly literal: Map<string, Acl[]>;
	readonly prefixed: Map<string, Acl[]>;
	/** Lengths that prefixes have. */
	readonly prefixLengths: Set<number>;
}

/** Who is allowed one of these may do the operation, too. */
const IMPLIED_BY: ReadonlyMap<number, ReadonlySet<number>> = new Map([
	[
		ACL_OPERATION.describe,
		new Set<number>([
			ACL_OPERATION.read,
			ACL_OPERATION.write,
			ACL_OPERATION.delete,
			ACL_OPERATION.alter,
		]),
	],
	[ACL_OPERATION.describeConfigs, new Set<number>([ACL_OPERATION.alterConfigs])],
]);

/** A name that stands for none, so that only what holds for every name counts. */
const ANY_NAME = "hardcode";

export class AclTable {
	readonly #byType = new Map<number, TypeRules>();

	constructor(acls: Iterable<Acl>) {
		for (const acl of acls) this.#add(acl);
	}

	/** Whether the operation is allowed on a resource; `otherwise` where no rule is about it. */
	allows(question: AclQuestion, name: string, otherwise: boolean): boolean {
		let isAllowed = false;
		let isSpokenOf = false;
		for (const acls of this.#about(question.resourceType, name)) {
			isSpokenOf = true;
			for (const acl of acls) {
				if (!isAbout(acl, question)) continue;
				const { operation } = question;
				const isSame = acl.operation === ACL_OPERATION.all || acl.operation === operation;
				if (acl.permission === PERMISSION.deny) {
					if (isSame) return false;
				} else {
					isAllowed ||= isSame || (IMPLIED_BY.get(operation)?.has(acl.operation) ?? false);
				}
			}
		}
		return isAllowed || (!isSpokenOf && otherwise);
	}

	/**
	 * Whether there is any name of a resource on which the operation is allowed, as far as rules
	 * tell. As in Kafka implied operations do not count here.
	 */
	allowsAny(question: AclQuestion, otherwise: boolean): boolean {
		if (this.allows(question, ANY_NAME, otherwise)) return true;
		const rules = this.#byType.get(question.resourceType);
		if (rules === undefined) return false;
		const names = (patterns: ReadonlyMap<string, readonly Acl[]>, permission: number) =>
			new Set(
				[...patterns].flatMap(([name, acls]) =>
					acls.some((acl) => acl.permission === permission && asks(acl, question)) ? [name] : [],
				),
			);
		const denied = names(rules.literal, PERMISSION.deny);
		const deniedPrefixes = names(rules.prefixed, PERMISSION.deny);
		if (denied.has(WILDCARD)) return false;
		const isFree = (name: string) => ![...deniedPrefixes].some((prefix) => name.startsWith(prefix));
		const allowed = names(rules.literal, PERMISSION.allow);
		if (allowed.has(WILDCARD)) return true;
		if ([...allowed].some((name) => !denied.has(name) && isFree(name))) return true;
		return [...names(rules.prefixed, PERMISSION.allow)].some(isFree);
	}

	/** The rules whose pattern a name falls under. */
	*#about(resourceType: number, name: string): Generator<readonly Acl[]> {
		const rules = this.#byType.get(resourceType);
		if (rules === undefined) return;
		for (const literal of name === WILDCARD ? [name] : [name, WILDCARD]) {
			const acls = rules.literal.get(literal);
			if (acls !== undefined) yield acls;
		}
		for (const length of rules.prefixLengths) {
			const acls = length <= name.length ? rules.prefixed.get(name.slice(0, length)) : undefined;
			if (acls !== undefined) yield acls;
		}
	}

	#add(acl: Acl): void {
		const { resourceType, resourceName, patternType } = acl;
		const rules = this.#byType.get(resourceType) ?? {
			literal: new Map(),
			prefixed: new Map(),
			prefixLengths: new Set(),
		};
		this.#byType.set(resourceType, rules);
		const isPrefixed = patternType === PATTERN_TYPE.prefixed;
		if (isPrefixed) rules.prefixLengths.add(resourceName.length);
		const patterns = isPrefixed ? rules.prefixed : rules.literal;
		const acls = patterns.get(resourceName);
		if (acls === undefined) patterns.set(resourceName, [acl]);
		else acls.push(acl);
	}
}

/** Whether a rule is about who asks. */
function isAbout({ principal, host }: Acl, question: AclQuestion): boolean {
	return (
		(principal === WILDCARD_PRINCIPAL || principal === question.principal) &&
		(host === WILDCARD || host === question.host)
	);
}

/** The same, and about just what is asked for. */
function asks(acl: Acl, question: AclQuestion): boolean {
	const { operation } = acl;
	const isSame = operation === ACL_OPERATION.all || operation === question.operation;
	return isSame && isAbout(acl, question);
}
