/**
 * CreateAcls: v1-3.
 *
 * Behavior:
 * - Each rule has an outcome of its own; those that are in order are made together, or none of
 *   them. One that is there already stays, and is no error.
 * - In force when the answer comes, for what is asked from then on.
 * - Without authorization there are no rules: SECURITY_DISABLED.
 *
 * Version notes:
 * - v1: pattern types (KIP-290).  v3: rules for users (KIP-373).
 */
import { CODES } from "../../protocol/codes.ts";
import { type Acl, checkAcl } from "../../security/acl.ts";
import { aclsFor } from "../acls.ts";
import { serveApi } from "../api.ts";
import { rules } from "../audited.ts";
import { type Failure, reportedFailure } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	CREATE_ACLS,
	type CreateAclsRequest,
	type CreateAclsResponse,
} from "../generated/30-create-acls.ts";
import { checkNamedCount } from "../requests.ts";

/** Where there is no error the message is empty, as in Kafka. */
const DONE: Failure = { errorCode: CODES.NONE.code, errorMessage: "" };

export const createAclsApi = serveApi(CREATE_ACLS, createAcls, (_, { results }) => rules(results));

async function createAcls(
	{ creations }: CreateAclsRequest,
	exchange: Exchange,
): Promise<CreateAclsResponse> {
	checkNamedCount(creations.length);
	const acls = creations.map(
		({ resourcePatternType, permissionType, ...same }): Acl => ({
			...same,
			patternType: resourcePatternType,
			permission: permissionType,
		}),
	);
	const refusals = acls.map((acl) => refusalOf(acl, exchange));
	try {
		await aclsFor(exchange).create(acls.filter((_, index) => refusals[index] === null));
		return { results: refusals.map((refusal) => refusal ?? DONE) };
	} catch (error) {
		const failure = reportedFailure(error, exchange);
		return { results: creations.map(() => failure) };
	}
}

function refusalOf(acl: Acl, exchange: Exchange): Failure | null {
	try {
		checkAcl(acl);
		return null;
	} catch (error) {
		return reportedFailure(error, exchange);
	}
}
