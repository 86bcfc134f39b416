/** Plain HTTP on the WebSocket's port, independent of the transport. */

export interface HttpRequest {
	/** In capitals. */
	readonly method: string;
	/** Without the query. */
	readonly path: string;
	/** Without the question mark; "" when there is none. */
	readonly query: string;
	/** The value of a header, named in small letters; "" when it is absent. */
	header(name: string): string;
}

export interface HttpResponse {
	readonly status: number;
	readonly headers?: Readonly<Record<string, string>>;
	readonly body?: string | Uint8Array;
}

/** Answers a request; undefined: there is nothing at this path. Bodies of requests are not read. */
export type HttpHandler = (
	request: HttpRequest,
) => HttpResponse | undefined | Promise<HttpResponse | undefined>;

export const NOT_FOUND: HttpResponse = { status: 404, body: "not found\n" };
export const FORBIDDEN_HOST: HttpResponse = {
	status: 403,
	body: "this Host is not served here; list it in allowed.origins\n",
};
export const FORBIDDEN_ORIGIN: HttpResponse = {
	status: 403,
	body: "this Origin is not allowed here; list it in allowed.origins\n",
};
export const UNSUPPORTED_SUBPROTOCOL: HttpResponse = {
	status: 400,
	body: "the sub-protocol is millrace.v1\n",
};
/** `max`: connections that are open. */
export const tooManyConnections = (max: number): HttpResponse => ({
	status: 503,
	headers: { "retry-after": "5" },
	body: `${max} connections are open, and max.connections allows no more; try again later\n`,
});
export const SERVER_ERROR: HttpResponse = { status: 500, body: "the request failed\n" };

const REASONS: Readonly<Record<number, string>> = {
	200: "OK",
	400: "Bad Request",
	403: "Forbidden",
	404: "Not Found",
	405: "Method Not Allowed",
	500: "Internal Server Error",
	503: "Service Unavailable",
};

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

/**
 * `/live`: the process runs. `/ready`: it serves; 503 while it starts or stops, so that a balancer
 * looks elsewhere.
 */
export function healthHandler(isReady: () => boolean): HttpHandler {
	return ({ method, path }) => {
		if (path !== "/live" && path !== "/ready") return undefined;
		if (method !== "GET" && method !== "HEAD") {
			return { status: 405, headers: { allow: "GET, HEAD" }, body: "GET only\n" };
		}
		if (path === "/live" || isReady()) return { status: 200, body: "ok\n" };
		return { status: 503, body: "not ready\n" };
	};
}
