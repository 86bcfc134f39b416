/**
 * Plain HTTP as the broker's own modules see it, whichever transport carries it: requests,
 * responses, and the errors that every path may answer with, as `application/problem+json` (RFC
 * 9457).
 */

import type { Principal } from "../security/principal.ts";
import type { SaslIdentity } from "../security/sasl/mechanism.ts";

/** What is known of a request before its body comes. */
export interface HttpHead {
	/** In capitals. */
	readonly method: string;
	/** Without the query. */
	readonly path: string;
	/** Without the question mark; "" when there is none. */
	readonly query: string;
	/** The client's address, without port; "" where it is not known. */
	readonly remoteAddress: string;
	/** Whom the connection's certificate names; anonymous without one. */
	readonly principal: Principal;
	/** The value of a header, named in small letters; "" when it is absent. */
	header(name: string): string;
}

export interface HttpRequest extends HttpHead {
	/** Empty unless the route takes bodies. */
	readonly body: Uint8Array;
	/** Who asks, as far as the route wants to know. */
	readonly identity: SaslIdentity;
	/** Nobody waits for the answer any more. */
	readonly aborted: AbortSignal;
	/** The broker stops: what waits for something is to be answered now. */
	readonly stopping: AbortSignal;
}

export interface HttpResponse {
	readonly status: number;
	readonly headers?: Readonly<Record<string, string>>;
	readonly body?: string | Uint8Array;
	/** The connection ends behind it: what the client still sends is not wanted. */
	readonly isLast?: boolean;
	/** Called once, when the client has been sent all of it or is gone. */
	readonly onDone?: () => void;
	/** The path of the route that it is of, for the metrics; absent: of none. */
	readonly route?: string;
}

/**
 * Finds out who asks; resolves to the answer where somebody is not believed, which may be long
 * after. `aborted`: nobody waits for the answer any more.
 */
export type Identify = (
	head: HttpHead,
	aborted: AbortSignal,
) => Promise<SaslIdentity | HttpResponse>;

/** What answers the requests of one method and path. */
export interface HttpRoute {
	/** Its path, for the metrics: parameters are in braces. */
	readonly route: string;
	/** Bytes of the longest body that is read; absent: none is, whatever the client sends. */
	readonly bodyBytesMax?: number;
	/** Absent: whoever the connection's certificate names may ask. */
	readonly identify?: Identify;
	readonly answer: (request: HttpRequest) => HttpResponse | Promise<HttpResponse>;
}

/** Finds who answers a request; the response of nobody, where there is none. */
export type HttpHandler = (head: HttpHead) => HttpRoute | HttpResponse;

const REASONS: Readonly<Record<number, string>> = {
	200: "OK",
	400: "Bad Request",
	401: "Unauthorized",
	403: "Forbidden",
	404: "Not Found",
	405: "Method Not Allowed",
	406: "Not Acceptable",
	408: "Request Timeout",
	409: "Conflict",
	413: "Content Too Large",
	415: "Unsupported Media Type",
	416: "Range Not Satisfiable",
	422: "Unprocessable Content",
	429: "Too Many Requests",
	500: "Internal Server Error",
	503: "Service Unavailable",
	504: "Gateway Timeout",
	507: "Insufficient Storage",
};

/**
 * An error for programs and for people: `detail` says what is the matter this time, `members` what
 * else the body has.
 */
export function problem(
	status: number,
	detail: string,
	headers: Readonly<Record<string, string>> = {},
	members: object = {},
): HttpResponse {
	const title = REASONS[status] ?? `${status}`;
	return {
		status,
		headers: { "content-type": "application/problem+json", ...headers },
		body: `${JSON.stringify({ type: "about:blank", title, status, detail, ...members })}\n`,
	};
}

export const FORBIDDEN_HOST = problem(
	403,
	"this Host is not served here; ask by an IP address, by the name in advertise, or by one that " +
		"allowed.origins lists, such as http://broker.example:4600",
);
export const FORBIDDEN_ORIGIN = problem(
	403,
	"this Origin is not allowed here; list it in allowed.origins",
);
/** Who may ask at all. */
export interface OriginPolicy {
	/** Whether a page of this origin may ask; `origin` is "" when there is none. */
	allowsOrigin(origin: string, host: string): boolean;
	/** Whether an HTTP request sent to this `Host` is served. */
	allowsHost(host: string): boolean;
}

/** What is answered to who may not ask at all; undefined: nothing speaks against it. */
export function refusalOf(origins: OriginPolicy, head: HttpHead): HttpResponse | undefined {
	const host = head.header("host");
	if (!origins.allowsHost(host)) return FORBIDDEN_HOST;
	return origins.allowsOrigin(head.header("origin"), host) ? undefined : FORBIDDEN_ORIGIN;
}

export const NOT_FOUND = problem(404, "there is nothing at this path");
export const UNSUPPORTED_SUBPROTOCOL = problem(400, "the sub-protocol is millrace.v1");
export const SERVER_ERROR = problem(500, "the request failed; the broker's log says why");

export const STOPPING = problem(503, "the broker stops; ask again in a moment", {
	"retry-after": "5",
});

/** `max`: connections that are open. */
export const tooManyConnections = (max: number): HttpResponse =>
	problem(503, `${max} connections are open, and max.connections allows no more; try again later`, {
		"retry-after": "5",
	});

/** "404 Not Found". */
export function statusLine(status: number): string {
	const reason = REASONS[status];
	return reason === undefined ? `${status}` : `${status} ${reason}`;
}

/** The headers to send: those of the response, and what every response carries. */
export function responseHeaders(response: HttpResponse): Record<string, string> {
	return {
		"content-type": "text/plain; charset=utf-8",
		"x-content-type-options": "nosniff",
		"cache-control": "no-store",
		...response.headers,
	};
}
