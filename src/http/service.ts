/**
 * Answers the HTTP requests of one listener: finds the route, reads the body within bounds, and
 * turns failures into responses. Both transports bring their requests here.
 */
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
} from "./http.ts";

/** Where the body of one request comes from. */
export interface BodySource {
	/**
	 * Has `take` called with each piece, whose memory is only valid during the call. Asked for in
	 * the call of `answer`, or not at all.
	 */
	read(take: (piece: Uint8Array, isLast: boolean) => void): void;
}

/** What has come of a body. */
interface TakenBody {
	/** The whole, or what is wrong with it. */
	readonly body: Uint8Array | HttpResponse;
	/** Bytes that were taken, of one that is refused too. */
	readonly bytes: number;
}

const NO_BODY: TakenBody = { body: new Uint8Array(), bytes: 0 };

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
	/** Bytes of all bodies that are being read. */
	#bodiesBytes = 0;

	constructor(options: HttpServiceOptions) {
		this.#options = options;
	}

	/** Resolves to the answer, whatever happens. */
	async answer(head: HttpHead, source: BodySource, aborted: AbortSignal): Promise<HttpResponse> {
		const startMs = performance.now();
		const { method } = head;
		let route: string | undefined;
		let receivedBytes = 0;
		const answered = (response: HttpResponse): HttpResponse => {
			const ms = performance.now() - startMs;
			const { status, body = "" } = response;
			const sentBytes = method === "HEAD" ? 0 : Buffer.byteLength(body);
			const exchange = { route, method, status, ms, receivedBytes, sentBytes };
			this.#options.httpRequests.answered(exchange);
			return response;
		};
		try {
			const found = refusalOf(this.#options.origins, head) ?? this.#options.http(head);
			route = found.route;
			if ("status" in found) return answered(found);
			const { body, bytes } = await this.#body(found, head, source);
			receivedBytes = bytes;
			if ("status" in body) return answered({ ...body, isLast: true });
			return answered(await found.answer(requestOf(head, body, aborted)));
		} catch (error) {
			this.#options.onError(error, `${method} ${head.path}`);
			return answered(SERVER_ERROR);
		}
	}

	/** Begins to read before it returns. */
	#body(
		{ bodyBytesMax = 0 }: HttpRoute,
		head: HttpHead,
		source: BodySource,
	): TakenBody | Promise<TakenBody> {
		const declared = head.header("content-length");
		const hasBody = declared !== "" || head.header("transfer-encoding") !== "";
		if (!hasBody || bodyBytesMax === 0) return NO_BODY;
		if (Number(declared) > bodyBytesMax) return { body: tooLarge(bodyBytesMax), bytes: 0 };
		return this.#read(bodyBytesMax, source);
	}

	#read(bytesMax: number, source: BodySource): Promise<TakenBody> {
		return new Promise((resolve) => {
			const pieces: Uint8Array[] = [];
			let bytes = 0;
			let isDone = false;
			const done = (body: TakenBody["body"]) => {
				if (isDone) return;
				isDone = true;
				clearTimeout(timer);
				pieces.length = 0;
				this.#bodiesBytes -= bytes;
				resolve({ body, bytes });
			};
			// Ends the wait for a client that has gone away, too.
			const timer = setTimeout(() => done(TOO_SLOW), LIMITS.httpBodyMsMax);
			source.read((piece, isLast) => {
				if (isDone) return;
				bytes += piece.length;
				this.#bodiesBytes += piece.length;
				if (bytes > bytesMax) done(tooLarge(bytesMax));
				else if (this.#bodiesBytes > LIMITS.httpBodiesBytesMax) done(TOO_MANY);
				else {
					pieces.push(Buffer.from(piece));
					if (isLast) done(Buffer.concat(pieces));
				}
			});
		});
	}
}

/** Member by member: a transport's head may be an object with a prototype. */
function requestOf(head: HttpHead, body: Uint8Array, aborted: AbortSignal): HttpRequest {
	const { method, path, query, remoteAddress, principal } = head;
	const header = (name: string) => head.header(name);
	return { method, path, query, remoteAddress, principal, header, body, aborted };
}

const tooLarge = (bytesMax: number) => problem(413, `a body has at most ${bytesMax} bytes here`);
const TOO_SLOW = problem(408, `a body has to come within ${LIMITS.httpBodyMsMax} ms`);
const TOO_MANY = problem(503, "too many bodies come at the same time; try again later", {
	"retry-after": "1",
});
