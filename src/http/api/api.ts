/**
 * The HTTP API: every call that needs no connection, and records by their offsets, under /v1. Each
 * request says who asks, is checked by the same tables as over WebSocket, and leaves nothing
 * behind.
 */
import * as v from "valibot";
import { checkCall } from "../../calls/access.ts";
import { Arguments, invalid } from "../../calls/arguments.ts";
import { auditCall, auditRefusal } from "../../calls/audited.ts";
import type { AnswerMap } from "../../calls/caller.ts";
import { SHARED_CALLS, type SharedCallName } from "../../calls/table.ts";
import { asMillraceError, MillraceError } from "../../errors.ts";
import { LIMITS } from "../../limits.ts";
import { OPERATION } from "../../protocol/operations.ts";
import type { DecodedMap } from "../../protocol/reader.ts";
import type { HttpHead, HttpResponse } from "../http.ts";
import type { Route, RoutedRequest } from "../router.ts";
import type { HttpAuthentication } from "./authentication.ts";
import { CALL_ROUTES, type Described, PATH_PARAMETERS } from "./call-routes.ts";
import { ApiCaller, type ApiHost } from "./host.ts";
import type { Media } from "./media.ts";
import { acceptedMedia, contentMedia, decodeBody, encodeAnswer, MEDIA_TYPE } from "./media.ts";
import { type Parameters, type ParameterValue, readParameters } from "./parameters.ts";
import { ProblemError, problemOf } from "./problem.ts";
import { produceRecords } from "./produce-records.ts";
import { readRecords } from "./read-records.ts";
import { PRODUCE_ROUTE, READ_ROUTE } from "./record-routes.ts";
import { Throttling } from "./throttling.ts";

/** A request that has been read. */
interface Asked {
	readonly given: Readonly<Record<string, ParameterValue>>;
	/** Empty where there is none. */
	readonly body: DecodedMap;
	/** What the body is, or would be. */
	readonly bodyMedia: Media;
	readonly media: Media;
	readonly request: RoutedRequest;
}

type Operation = (caller: ApiCaller, asked: Asked) => AnswerMap | Promise<AnswerMap>;

/** The routes of the API. `requestsMax`: how many may be under way. */
export function apiRoutes(
	host: ApiHost,
	authentication: HttpAuthentication,
	requestsMax: number = LIMITS.httpRequestsMax,
): Route[] {
	const api = new Api(host, authentication, requestsMax);
	const calls = (Object.keys(CALL_ROUTES) as SharedCallName[]).map((name) =>
		api.route(CALL_ROUTES[name], callOperation(name)),
	);
	return [
		...calls,
		api.route(
			READ_ROUTE,
			audited(OPERATION.subscribe, (caller, { given, media, request }) =>
				readRecords(caller, given, media, request),
			),
		),
		api.route(
			PRODUCE_ROUTE,
			audited(OPERATION.produce, (caller, { given, body, bodyMedia }) =>
				produceRecords(caller, given, body, bodyMedia),
			),
		),
		{ method: "GET", path: "/v1/openapi.json", answer: openApiDocument },
	];
}

function callOperation(name: SharedCallName): Operation {
	const { argumentsOf = (given: DecodedMap) => given } = CALL_ROUTES[name];
	return (caller, { given, body }) => {
		const parameters = new Arguments(argumentsOf({ ...body, ...given }));
		const answer = () => {
			checkCall(caller, name, parameters);
			return SHARED_CALLS[name](caller, parameters);
		};
		return caller.host.audit === null ? answer() : auditCall(caller, name, parameters, answer);
	};
}

/** Notes what is not allowed as that of a frame's operation. */
function audited(frameOperation: number, operation: Operation): Operation {
	return async (caller, asked) => {
		try {
			return await operation(caller, asked);
		} catch (error) {
			auditRefusal(caller, frameOperation, errorOf(error).number);
			throw error;
		}
	};
}

/** Made when it is first asked for: few brokers ever are. */
async function openApiDocument(): Promise<HttpResponse> {
	const { openApiBytes } = await import("./openapi.ts");
	return { status: 200, headers: { "content-type": MEDIA_TYPE.json }, body: openApiBytes() };
}

class Api {
	readonly #host: ApiHost;
	readonly #authentication: HttpAuthentication;
	readonly #requestsMax: number;
	readonly #throttling: Throttling;
	/** Requests that are worked on, or whose answers are on their way. */
	#requestCount = 0;

	constructor(host: ApiHost, authentication: HttpAuthentication, requestsMax: number) {
		this.#host = host;
		this.#authentication = authentication;
		this.#requestsMax = requestsMax;
		this.#throttling = new Throttling(host.quotas, () => host.storage.nextConnection());
	}

	route(described: Described, operation: Operation): Route {
		const { method, path, body } = described;
		return {
			method,
			path,
			...(body === undefined ? {} : { bodyBytesMax: LIMITS.httpBodyBytesMax }),
			refuse: (head) => this.#refusal(head),
			identify: (head, aborted) => this.#authentication.identify(head, aborted),
			answer: (request) => this.#answer(described, operation, request),
		};
	}

	#refusal(head: HttpHead): HttpResponse | undefined {
		if (this.#requestCount >= this.#requestsMax) return TOO_MANY_REQUESTS;
		return this.#authentication.refusal(head);
	}

	/** Resolves to the answer, whatever happens. */
	async #answer(
		described: Described,
		operation: Operation,
		request: RoutedRequest,
	): Promise<HttpResponse> {
		// Others may have come while it was found out who asks, and while the body came.
		if (this.#requestCount >= this.#requestsMax) return TOO_MANY_REQUESTS;
		this.#requestCount++;
		const response = await this.#respond(described, operation, request).catch((error: unknown) =>
			this.#failed(error, request),
		);
		return { ...response, onDone: () => void this.#requestCount-- };
	}

	async #respond(
		described: Described,
		operation: Operation,
		request: RoutedRequest,
	): Promise<HttpResponse> {
		const { identity, remoteAddress } = request;
		const quota = this.#host.quotas.isAny
			? this.#throttling.admit(identity.principal, remoteAddress, described, request.body.length)
			: null;
		const caller = new ApiCaller(this.#host, identity, remoteAddress, quota);
		const asked = read(described, request);
		const answer = await operation(caller, asked);
		return {
			status: described.status ?? 200,
			headers: { "content-type": MEDIA_TYPE[asked.media] },
			body: encodeAnswer(answer, asked.media),
		};
	}

	#failed(thrown: unknown, { method, path }: RoutedRequest): HttpResponse {
		const error = errorOf(thrown);
		if (error.code === "UNKNOWN_SERVER_ERROR") {
			this.#host.log.error({ err: error.cause ?? error, method, path }, "request failed");
		}
		return error.code === "NOT_AUTHENTICATED"
			? this.#authentication.refused(error)
			: problemOf(thrown);
	}
}

function errorOf(thrown: unknown): MillraceError {
	return thrown instanceof ProblemError ? thrown.error : asMillraceError(thrown);
}

const TOO_MANY_REQUESTS = problemOf(
	new ProblemError(
		new MillraceError("LIMIT_EXCEEDED", "too many requests are under way; try again later"),
		503,
	),
);

/** Takes a request apart. Throws INVALID_ARGUMENT, MALFORMED_FRAME, 406 or 415. */
function read({ path, query = {}, body: schema }: Described, request: RoutedRequest): Asked {
	const media = acceptedMedia(request);
	const given = readParameters(request, pathParameters(path), query);
	if (schema === undefined) return { given, body: {}, bodyMedia: "json", media, request };
	const bodyMedia = contentMedia(request);
	const body = decodeBody(request, bodyMedia);
	if (bodyMedia === "json") checkBody(body, schema);
	return { given, body, bodyMedia, media, request };
}

/** The arguments in a path. */
function pathParameters(path: string): Parameters {
	const names = [...path.matchAll(/\{([a-z_]+)\}/g)].map(([, name = ""]) => name);
	return Object.fromEntries(
		names.map((name) => [name, PATH_PARAMETERS[name] ?? invalid(name, "is not described")]),
	);
}

function checkBody(body: DecodedMap, schema: v.GenericSchema): void {
	const { issues } = v.safeParse(schema, body, { abortEarly: true });
	const [issue] = issues ?? [];
	if (issue !== undefined) invalid(v.getDotPath(issue) ?? "the body", issue.message);
}
