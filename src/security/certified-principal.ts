import type { TLSSocket } from "node:tls";

import { subjectName } from "./distinguished-name.ts";
import { ANONYMOUS, type Principal, userPrincipal } from "./principal.ts";

/**
 * Whom the certificate of a client names; anonymous without one. Throws where it is no good one, or
 * names nobody that can be read.
 */
export function certifiedPrincipal(socket: TLSSocket): Principal {
	const certificate = socket.getPeerX509Certificate();
	if (certificate === undefined) return ANONYMOUS;
	// A certificate that is shown has to be a good one, also where none is required.
	if (!socket.authorized) throw new Error(`it is not trusted: ${socket.authorizationError}`);
	return userPrincipal(subjectName(certificate));
}
