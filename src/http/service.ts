/**
 * Answers the HTTP requests of one listener: finds the route, has it find out who asks while the
 * body comes, within bounds, and turns failures into responses. Both transports bring their
 * requests here.
 */
import { setMaxListeners } from "node:events";

import { LIMITS } from "../limits.ts";
import type { HttpFigures } from "../monitoring/http-figures.ts";
import {
	type HttpHandler,
	type HttpHead,
	type HttpRequest,
	type HttpResponse,
	type HttpRoute,
	type OriginPolicy,
	problem,
	refusalOf,
	SERVER_ERROR,
	STOPPING,
} from "./http.ts";
import { type BodySource, HeldBodies, IncomingBody, tooLarge } from "./incoming-body.ts";

export interface HttpServiceOptions {
	readonly http: HttpHandler;
	readonly origins: OriginPolicy;
	/** Counts requests and answers. */
	readonly httpRequests: HttpFigures;
	/** A failure of which the client only learns that there was one. */
	readonly onError: (error: unknown, doing: string) => void;
}

export class HttpService {
	readonly #options: HttpServiceOptions;
	readonly #bodies = new HeldBodies();
	readonly #stopping = new AbortController();
	#underWayCount = 0;
	/** Of answers that are on their way. */
	#answersBytes = 0;

	constructor(options: HttpServiceOptions) {
		this.#options = options;
		// One of each request that waits.
		setMaxListeners(0, this.#stopping.signal);
	}

	/** Requests that are worked on, or whose answers are on their way. */
	get underWayCount(): number {
		return this.#underWayCount;
	}

	/** From now on requests are refused; those under way go on, and wait for no more records. */
	stop(): void {
		this.#stopping.abort();
	}

	/** Resolves to the answer, whatever happens. */
	async answer(head: HttpHead, source: BodySource, aborted: AbortSignal): Promise<HttpResponse> {
		this.#underWayCount++;
		const response = await this.#answer(head, source, aborted);
		const onDone = () => {
			this.#underWayCount--;
			response.onDone?.();
		};
		return { ...response, onDone };
	}

	async #answer(head: HttpHead, source: BodySource, aborted: AbortSignal): Promise<HttpResponse> {
		const startMs = performance.now();
		const { method } = head;
		let route: string | undefined;
		let body: IncomingBody | HttpResponse | undefined;
		const answered = (response: HttpResponse): HttpResponse => {
			const ms = performance.now() - startMs;
			const { status, body: content = "" } = response;
			const sentBytes = method === "HEAD" ? 0 : Buffer.byteLength(content);
			const receivedBytes = body instanceof IncomingBody ? body.receivedBytes : 0;
			const exchange = { route, method, status, ms, receivedBytes, sentBytes };
			this.#options.httpRequests.answered(exchange);
			return response;
		};
		try {
			const found = this.#find(head);
			route = found.route;
			if ("status" in found) return answered(found);
			body = this.#body(found, head, source);
			const { identify } = found;
			const { principal } = head;
			const identity = identify === undefined ? { principal } : await identify(head, aborted);
			// What is left of the body is not wanted.
			if ("status" in identity) return answered({ ...identity, isLast: body !== undefined });
			const whole = await wholeOf(body);
			if ("status" in whole) return answered({ ...whole, isLast: true });
			const { signal: stopping } = this.#stopping;
			const request = requestOf(head, { body: whole, identity, aborted, stopping });
			return answered(this.#bounded(method, await found.answer(request)));
		} catch (error) {
			this.#options.onError(error, `${method} ${head.path}`);
			return answered(SERVER_ERROR);
		} finally {
			if (body instanceof IncomingBody) body.letGo();
		}
	}

	#find(head: HttpHead): HttpRoute | HttpResponse {
		if (this.#stopping.signal.aborted) return { ...STOPPING, isLast: true };
		return refusalOf(this.#options.origins, head) ?? this.#options.http(head);
	}

	/** The answer, counted until it is done; or that there is no room for it. */
	#bounded(method: string, response: HttpResponse): HttpResponse {
		const bytes = response.body?.length ?? 0;
		// What was changed is told in any case.
		const isRead = method === "GET" || method === "HEAD";
		const hasRoom = this.#answersBytes < LIMITS.httpAnswersBytesMax;
		if (isRead && bytes > SHORT_ANSWER_BYTES && !hasRoom) {
			response.onDone?.();
			return TOO_MANY_ANSWERS;
		}
		this.#answersBytes += bytes;
		const onDone = () => {
			this.#answersBytes -= bytes;
			response.onDone?.();
		};
		return { ...response, onDone };
	}

	/** Begins to read before it returns; undefined: there is none, or none is wanted. */
	#body(
		{ bodyBytesMax = 0 }: HttpRoute,
		head: HttpHead,
		source: BodySource,
	): IncomingBody | HttpResponse | undefined {
		const declared = head.header("content-length");
		const hasBody = declared !== "" || head.header("transfer-encoding") !== "";
		if (!hasBody || bodyBytesMax === 0) return undefined;
		if (Number(declared) > bodyBytesMax) return tooLarge(bodyBytesMax);
		return new IncomingBody(bodyBytesMax, this.#bodies, source);
	}
}

/** Answers about as short cost less than their connections do. */
const SHORT_ANSWER_BYTES = 4_096;

const TOO_MANY_ANSWERS = problem(503, "too many answers wait to be read; try again later", {
	"retry-after": "1",
});

const NO_BODY = new Uint8Array();

async function wholeOf(
	body: IncomingBody | HttpResponse | undefined,
): Promise<Uint8Array | HttpResponse> {
	return body instanceof IncomingBody ? body.whole() : (body ?? NO_BODY);
}

/** Member by member: a transport's head may be an object with a prototype. */
function requestOf(
	head: HttpHead,
	rest: Pick<HttpRequest, "body" | "identity" | "aborted" | "stopping">,
): HttpRequest {
	const { method, path, query, remoteAddress, principal } = head;
	const header = (name: string) => head.header(name);
	return { method, path, query, remoteAddress, principal, header, ...rest };
}
