/**
 * DescribeAcls: v1-3.
 *
 * Behavior:
 * - The rules that a filter asks for, those of one resource pattern together.
 * - A filter of unknown numbers is INVALID_REQUEST. Without authorization there are no rules:
 *   SECURITY_DISABLED.
 *
 * Version notes:
 * - v1: pattern types (KIP-290).  v3: rules for users (KIP-373).
 */
import { CODES } from "../../protocol/codes.ts";
import { aclsFor, entryOf, filterOf, patternOf } from "../acls.ts";
import { serveApi } from "../api.ts";
import { reportedFailure } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	DESCRIBE_ACLS,
	type DescribeAclsRequest,
	type DescribeAclsResponse,
} from "../generated/29-describe-acls.ts";

/** Where there is no error the message is empty, as in Kafka. */
const DONE = { errorCode: CODES.NONE.code, errorMessage: "" };

export const describeAclsApi = serveApi(DESCRIBE_ACLS, describeAcls);

function describeAcls(request: DescribeAclsRequest, exchange: Exchange): DescribeAclsResponse {
	try {
		const byPattern = new Map<
			string,
			ReturnType<typeof patternOf> & { acls: ReturnType<typeof entryOf>[] }
		>();
		for (const acl of aclsFor(exchange).list(filterOf(request))) {
			const key = `${acl.resourceType} ${acl.patternType} ${acl.resourceName}`;
			const resource = byPattern.get(key) ?? { ...patternOf(acl), acls: [] };
			byPattern.set(key, resource);
			resource.acls.push(entryOf(acl));
		}
		return { ...DONE, resources: [...byPattern.values()] };
	} catch (error) {
		return { ...reportedFailure(error, exchange), resources: [] };
	}
}
