/** Access rules as requests of the Kafka protocol carry them. */
import { MillraceError } from "../errors.ts";
import type { Acl, AclFilter } from "../security/acl.ts";
import type { AclAuthorizer } from "../security/authorizer.ts";
import { checkAllowedOnCluster } from "./access.ts";
import type { Exchange } from "./exchange.ts";

/** A filter of DescribeAcls and DeleteAcls. */
interface WireFilter {
	readonly resourceTypeFilter: number;
	readonly resourceNameFilter: string | null;
	readonly patternTypeFilter: number;
	readonly principalFilter: string | null;
	readonly hostFilter: string | null;
	readonly operation: number;
	readonly permissionType: number;
}

/**
 * The rules, for whom the request may show or change them. Throws CLUSTER_AUTHORIZATION_FAILED, and
 * SECURITY_DISABLED where authorization is off.
 */
export function aclsFor(exchange: Exchange): AclAuthorizer {
	const { acls } = exchange.host;
	if (acls === null) throw new MillraceError("SECURITY_DISABLED");
	checkAllowedOnCluster(exchange);
	return acls;
}

export function filterOf(filter: WireFilter): AclFilter {
	return {
		resourceType: filter.resourceTypeFilter,
		resourceName: filter.resourceNameFilter,
		patternType: filter.patternTypeFilter,
		principal: filter.principalFilter,
		host: filter.hostFilter,
		operation: filter.operation,
		permission: filter.permissionType,
	};
}

/** The part of a rule that says who may do what. */
export function entryOf({ principal, host, operation, permission }: Acl) {
	return { principal, host, operation, permissionType: permission };
}

/** The part that says with what. */
export function patternOf({ resourceType, resourceName, patternType }: Acl) {
	return { resourceType, resourceName, patternType };
}
