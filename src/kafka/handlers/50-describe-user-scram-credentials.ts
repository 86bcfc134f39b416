/**
 * DescribeUserScramCredentials: v0.
 *
 * Behavior:
 * - Without names all users are described; a name that stands there twice is DUPLICATE_RESOURCE,
 *   one of no user RESOURCE_NOT_FOUND.
 */
import { CODES } from "../../protocol/codes.ts";
import { CLUSTER_NAME } from "../../security/acl.ts";
import { SCRAM_MECHANISMS } from "../../security/scram-credential.ts";
import { serveApi } from "../api.ts";
import { cut, failed } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	DESCRIBE_USER_SCRAM_CREDENTIALS,
	type DescribeUserScramCredentialsRequest,
	type DescribeUserScramCredentialsResponse,
	type DescribeUserScramCredentialsResponseUser,
} from "../generated/50-describe-user-scram-credentials.ts";
import { checkNamedCount, repeatedIn } from "../requests.ts";

export const describeUserScramCredentialsApi = serveApi(DESCRIBE_USER_SCRAM_CREDENTIALS, describe);

function describe(
	{ users: asked }: DescribeUserScramCredentialsRequest,
	exchange: Exchange,
): DescribeUserScramCredentialsResponse {
	const { host } = exchange;
	if (!exchange.allows("cluster", CLUSTER_NAME)) {
		return { ...failed("CLUSTER_AUTHORIZATION_FAILED"), results: [] };
	}
	const named = (asked ?? []).map(({ name }) => name);
	checkNamedCount(named.length);
	const repeated = repeatedIn(named);
	const names = named.length === 0 ? host.users.list() : [...new Set(named)];
	const results = names.map((name) => describeUser(name, repeated.has(name), host.users));
	return { errorCode: CODES.NONE.code, errorMessage: "", results };
}

function describeUser(
	user: string,
	isRepeated: boolean,
	users: Exchange["host"]["users"],
): DescribeUserScramCredentialsResponseUser {
	const failedUser = (code: "DUPLICATE_RESOURCE" | "RESOURCE_NOT_FOUND", errorMessage: string) => ({
		user,
		errorCode: CODES[code].code,
		errorMessage: cut(`${errorMessage}: ${user}`),
		credentialInfos: [],
	});
	if (isRepeated) {
		return failedUser(
			"DUPLICATE_RESOURCE",
			"Cannot describe SCRAM credentials for the same user twice in a single request",
		);
	}
	const iterations = users.describe(user);
	if (iterations === undefined) {
		return failedUser(
			"RESOURCE_NOT_FOUND",
			"Attempt to describe a user credential that does not exist",
		);
	}
	return {
		user,
		errorCode: CODES.NONE.code,
		errorMessage: "",
		credentialInfos: [...iterations].map(([mechanism, count]) => ({
			mechanism: SCRAM_MECHANISMS.indexOf(mechanism) + 1,
			iterations: count,
		})),
	};
}
