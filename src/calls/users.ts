/** users.list, .set, .delete */
import { MillraceError } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import { type CallAnswer, USERS_LISTED_MAX, type UserDescription } from "../protocol/calls.ts";
import { isUserName, type Users } from "../security/users.ts";
import { type Arguments, invalid } from "./arguments.ts";
import type { AnswerMap, Caller } from "./caller.ts";

export function listUsers({ host: { users } }: Caller, parameters: Arguments): AnswerMap {
	const after = parameters.optionalString("after") ?? "";
	const limit = parameters.optionalInteger("limit", 1, USERS_LISTED_MAX) ?? USERS_LISTED_MAX;
	const { names, isMore } = users.page(after, limit);
	return {
		users: names.map((name) => ({ ...describe(users, name) })),
		more: isMore,
	} satisfies CallAnswer<"users.list">;
}

/** Makes a user, or gives one another password, which nothing repeats: no answer and no log. */
export async function setUser({ host }: Caller, parameters: Arguments): Promise<AnswerMap> {
	const user = parameters.string("user");
	if (!isUserName(user)) {
		invalid("user", `has to have 1 to ${LIMITS.userNameBytesMax} bytes`);
	}
	const password = parameters.string("password");
	if (password === "" || Buffer.byteLength(password) > LIMITS.credentialBytesMax) {
		const wanted = `a password has 1 to ${LIMITS.credentialBytesMax} bytes`;
		throw new MillraceError("UNACCEPTABLE_CREDENTIAL", wanted);
	}
	await host.users.setPassword(user, password);
	return {};
}

export async function deleteUser({ host }: Caller, parameters: Arguments): Promise<AnswerMap> {
	const user = parameters.string("user");
	if (await host.users.remove(user)) return {};
	throw new MillraceError("RESOURCE_NOT_FOUND", `user ${user.slice(0, LIMITS.userNameBytesMax)}`);
}

function describe(users: Users, user: string): UserDescription {
	const credentials = [...(users.describe(user) ?? [])];
	return {
		user,
		credentials: credentials.map(([mechanism, iterations]) => ({ mechanism, iterations })),
	};
}
