/**
 * AlterUserScramCredentials: v0.
 *
 * Behavior:
 * - Clients salt and hash passwords themselves; the password never comes here.
 * - Each user is changed or refused as a whole; one that is refused holds up no other.
 */
import { MillraceError } from "../../errors.ts";
import { LIMITS } from "../../limits.ts";
import { CODES } from "../../protocol/codes.ts";
import { CLUSTER_NAME } from "../../security/acl.ts";
import {
	credentialOf,
	SCRAM_ITERATIONS,
	SCRAM_MECHANISMS,
	type ScramMechanism,
} from "../../security/scram-credential.ts";
import type { CredentialChange, Users } from "../../security/users.ts";
import { serveApi } from "../api.ts";
import { type Failure, failed, reportedFailure } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	ALTER_USER_SCRAM_CREDENTIALS,
	type AlterUserScramCredentialsRequest,
	type AlterUserScramCredentialsRequestDeletion,
	type AlterUserScramCredentialsRequestUpsertion,
	type AlterUserScramCredentialsResponse,
	type AlterUserScramCredentialsResponseUser,
} from "../generated/51-alter-user-scram-credentials.ts";
import { checkNamedCount, repeatedIn } from "../requests.ts";
import { Turns } from "../turns.ts";

const DONE: Failure = { errorCode: CODES.NONE.code, errorMessage: null };

export const alterUserScramCredentialsApi = serveApi(
	ALTER_USER_SCRAM_CREDENTIALS,
	alter,
	(_, { results }) =>
		results.map(({ user, errorCode }) => ({ resource: `user ${user}`, errorCode })),
);

/** What is asked for one user. */
interface Asked {
	readonly deletions: AlterUserScramCredentialsRequestDeletion[];
	readonly upsertions: AlterUserScramCredentialsRequestUpsertion[];
}

async function alter(
	request: AlterUserScramCredentialsRequest,
	exchange: Exchange,
): Promise<AlterUserScramCredentialsResponse> {
	checkNamedCount(request.deletions.length + request.upsertions.length);
	const isAllowed = exchange.allows("cluster", CLUSTER_NAME);
	const refusal = failed("CLUSTER_AUTHORIZATION_FAILED");
	const turns = new Turns(exchange.host.clock);
	const results: AlterUserScramCredentialsResponseUser[] = [];
	for (const [user, asked] of byUser(request)) {
		const outcome = isAllowed ? await alterUser(asked, exchange) : refusal;
		results.push({ user, ...outcome });
		await turns.pause();
	}
	return { results };
}

function byUser(request: AlterUserScramCredentialsRequest): Map<string, Asked> {
	const users = new Map<string, Asked>();
	const of = (name: string): Asked => {
		const asked = users.get(name) ?? { deletions: [], upsertions: [] };
		users.set(name, asked);
		return asked;
	};
	for (const deletion of request.deletions) of(deletion.name).deletions.push(deletion);
	for (const upsertion of request.upsertions) of(upsertion.name).upsertions.push(upsertion);
	return users;
}

async function alterUser({ deletions, upsertions }: Asked, exchange: Exchange): Promise<Failure> {
	const { users } = exchange.host;
	try {
		const mechanisms = [...deletions, ...upsertions].map(({ mechanism }) => mechanism);
		if (repeatedIn(mechanisms).size > 0) {
			throw new MillraceError("DUPLICATE_RESOURCE", "a credential is altered twice");
		}
		await users.alter(() => [
			...deletions.map((change) => deletion(change, users)),
			...upsertions.map(upsertion),
		]);
		return DONE;
	} catch (error) {
		return reportedFailure(error, exchange);
	}
}

/** Throws what the user is told. */
function deletion(
	{ name, mechanism: number }: AlterUserScramCredentialsRequestDeletion,
	users: Users,
): CredentialChange {
	const mechanism = mechanismOf(number);
	if (users.describe(name)?.has(mechanism) !== true) {
		throw new MillraceError("RESOURCE_NOT_FOUND", "the user has no such credential");
	}
	return { name, mechanism, credential: null };
}

/** Throws what the user is told. */
function upsertion({
	name,
	mechanism: number,
	iterations,
	salt,
	saltedPassword,
}: AlterUserScramCredentialsRequestUpsertion): CredentialChange {
	const mechanism = mechanismOf(number);
	const { min, max } = SCRAM_ITERATIONS;
	if (name === "") throw new MillraceError("UNACCEPTABLE_CREDENTIAL", "the user has no name");
	if (Buffer.byteLength(name) > LIMITS.userNameBytesMax || salt.length > LIMITS.saltBytesMax) {
		throw new MillraceError("UNACCEPTABLE_CREDENTIAL", "name or salt is too long");
	}
	if (iterations < min || iterations > max) {
		const wanted = `${iterations} iterations; ${min} to ${max} are taken`;
		throw new MillraceError("UNACCEPTABLE_CREDENTIAL", wanted);
	}
	return { name, mechanism, credential: credentialOf(mechanism, salt, iterations, saltedPassword) };
}

/** Kafka counts from 1. */
function mechanismOf(number: number): ScramMechanism {
	const mechanism = SCRAM_MECHANISMS[number - 1];
	if (mechanism !== undefined) return mechanism;
	throw new MillraceError("UNSUPPORTED_SASL_MECHANISM", `${number} is no SCRAM mechanism`);
}
