import { asMillraceError, MillraceError } from "../../errors.ts";
import { ACL_OPERATION, CLUSTER_NAME, RESOURCE_TYPE } from "../../security/acl.ts";
import type { Authorizer } from "../../security/authorizer.ts";
import { Peer } from "../../security/principal.ts";
import type { Route } from "../router.ts";
import type { HttpAuthentication } from "./authentication.ts";
import { problemOf } from "./problem.ts";

/** A route outside of the API, for those who may describe the cluster. */
export function guardedRoute(
	route: Route,
	authentication: HttpAuthentication,
	authorizer: Authorizer,
): Route {
	return {
		...route,
		refuse: (head) => authentication.refusal(head),
		answer: async (request) => {
			try {
				const peer = new Peer(request.remoteAddress, authorizer);
				const { principal, expiresMs } = await authentication.identify(request);
				peer.become(principal, expiresMs);
				const { describe } = ACL_OPERATION;
				if (!peer.access.allows(describe, RESOURCE_TYPE.cluster, CLUSTER_NAME)) {
					throw new MillraceError("CLUSTER_AUTHORIZATION_FAILED");
				}
			} catch (thrown) {
				const error = asMillraceError(thrown);
				if (error.code === "UNKNOWN_SERVER_ERROR") throw thrown;
				return error.code === "NOT_AUTHENTICATED"
					? authentication.refused(error)
					: problemOf(error);
			}
			return await route.answer(request);
		},
	};
}
