/**
 * DeleteAcls: v1-3.
 *
 * Behavior:
 * - Removes the rules that filters ask for, and tells them; each filter has an outcome of its own.
 *   Those of all filters go together, or none.
 * - A filter of unknown numbers is INVALID_REQUEST. Without authorization there are no rules:
 *   SECURITY_DISABLED.
 *
 * Version notes:
 * - v1: pattern types (KIP-290).  v3: rules for users (KIP-373).
 */
import { CODES } from "../../protocol/codes.ts";
import { type AclFilter, checkAclFilter } from "../../security/acl.ts";
import { aclsFor, entryOf, filterOf, patternOf } from "../acls.ts";
import { serveApi } from "../api.ts";
import { rules } from "../audited.ts";
import { type Failure, reportedFailure } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	DELETE_ACLS,
	type DeleteAclsRequest,
	type DeleteAclsResponse,
} from "../generated/31-delete-acls.ts";
import { checkNamedCount } from "../requests.ts";

const DONE: Failure = { errorCode: CODES.NONE.code, errorMessage: null };

export const deleteAclsApi = serveApi(DELETE_ACLS, deleteAcls, (_, { filterResults }) =>
	rules(filterResults),
);

async function deleteAcls(
	request: DeleteAclsRequest,
	exchange: Exchange,
): Promise<DeleteAclsResponse> {
	checkNamedCount(request.filters.length);
	const filters = request.filters.map(filterOf);
	const refusals = filters.map((filter) => refusalOf(filter, exchange));
	try {
		const wanted = filters.filter((_, index) => refusals[index] === null);
		const deleted = await aclsFor(exchange).delete(wanted);
		return {
			filterResults: refusals.map((refusal) => {
				if (refusal !== null) return { ...refusal, matchingAcls: [] };
				const matchingAcls = (deleted.shift() ?? []).map((acl) => ({
					...DONE,
					...patternOf(acl),
					...entryOf(acl),
				}));
				return { ...DONE, matchingAcls };
			}),
		};
	} catch (error) {
		const failure = reportedFailure(error, exchange);
		return { filterResults: filters.map(() => ({ ...failure, matchingAcls: [] })) };
	}
}

function refusalOf(filter: AclFilter, exchange: Exchange): Failure | null {
	try {
		checkAclFilter(filter);
		return null;
	} catch (error) {
		return reportedFailure(error, exchange);
	}
}
