import { MillraceError } from "../../errors.ts";
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
		identify: (head, aborted) => authentication.identify(head, aborted),
		answer: async (request) => {
			const peer = new Peer(request.remoteAddress, authorizer);
			const { principal, expiresMs } = request.identity;
			peer.become(principal, expiresMs);
			const { describe } = ACL_OPERATION;
			return peer.access.allows(describe, RESOURCE_TYPE.cluster, CLUSTER_NAME)
				? await route.answer(request)
				: problemOf(new MillraceError("CLUSTER_AUTHORIZATION_FAILED"));
		},
	};
}
