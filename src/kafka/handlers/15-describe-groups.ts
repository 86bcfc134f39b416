/**
 * DescribeGroups: v0-6. Classic groups; those of the consumer protocol have an API of their own.
 *
 * Behavior:
 * - A group that does not exist is described as Dead; from v6 on it is GROUP_ID_NOT_FOUND
 *   (KIP-1043).
 * - A group that a request has twice is described once: it may have thousands of members.
 *
 * Version notes:
 * - v3: authorized operations (KIP-430).  v4: static members.  v6: error messages.
 */
import { CODES } from "../../protocol/codes.ts";
import { checkAllowed } from "../access.ts";
import { OPERATIONS_UNASKED, operationsOn } from "../authorized-operations.ts";
import { kafkaFailure } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	DESCRIBE_GROUPS,
	type DescribeGroupsRequest,
	type DescribeGroupsResponse,
} from "../generated/15-describe-groups.ts";
import { groupCode } from "../groups.ts";
import { checkGroupCount } from "../requests.ts";
import { type LongResponse, serveLongApi } from "../turns.ts";

const NOT_FOUND_VERSION = 6;

type DescribedGroup = DescribeGroupsResponse["groups"][number];

export const describeGroupsApi = serveLongApi(DESCRIBE_GROUPS, "groups", describeGroups);

function describeGroups(
	{ groups, includeAuthorizedOperations }: DescribeGroupsRequest,
	exchange: Exchange,
): LongResponse<DescribeGroupsResponse, "groups"> {
	checkGroupCount(groups.length);
	const groupIds = [...new Set(groups)];
	const describeAt = (index: number) => {
		const groupId = groupIds[index] as string;
		const operations = includeAuthorizedOperations
			? operationsOn(exchange, "group", groupId)
			: OPERATIONS_UNASKED;
		return describe(groupId, operations, exchange);
	};
	return { rest: {}, count: groupIds.length, elementAt: describeAt };
}

function describe(
	groupId: string,
	authorizedOperations: number,
	exchange: Exchange,
): DescribedGroup {
	const { apiVersion, host } = exchange;
	try {
		checkAllowed(exchange, "group", groupId);
		const { state, protocolType, protocolName, members } =
			host.groups.describeClassicGroup(groupId);
		return {
			errorCode: CODES.NONE.code,
			groupId,
			groupState: state,
			protocolType,
			protocolData: protocolName,
			members: members.map(({ metadata, assignment, ...member }) => ({
				...member,
				memberMetadata: metadata,
				memberAssignment: assignment,
			})),
			authorizedOperations,
		};
	} catch (error) {
		const code = groupCode(error);
		const isMissing = code === CODES.GROUP_ID_NOT_FOUND.code;
		const isTold = !isMissing || apiVersion >= NOT_FOUND_VERSION;
		return {
			errorCode: isTold ? code : CODES.NONE.code,
			...(apiVersion >= NOT_FOUND_VERSION
				? { errorMessage: kafkaFailure(error).errorMessage }
				: {}),
			groupId,
			groupState: isMissing ? "Dead" : "",
			protocolType: "",
			protocolData: "",
			members: [],
			authorizedOperations: isMissing ? authorizedOperations : OPERATIONS_UNASKED,
		};
	}
}
