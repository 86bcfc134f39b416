/**
 * An API that is served: its codec, which is generated, and its handler. The table of all of them
 * is `handlers/table.ts`.
 */
import { type AuditedChange, auditChanges } from "./audited.ts";
import type { Exchange } from "./exchange.ts";
import type { KafkaReader } from "./wire/reader.ts";
import type { KafkaApi } from "./wire/schema.ts";
import type { KafkaWriter } from "./wire/writer.ts";

/** What is known of an API whatever its messages are. */
export type ApiFacts = Pick<
	KafkaApi<unknown, unknown>,
	"key" | "name" | "oldest" | "latest" | "flexibleFrom" | "advertisedFrom"
>;

export interface ServedApi {
	readonly facts: ApiFacts;
	/** Whether its answers are looked at for what they have changed, and for what failed. */
	readonly isAudited: boolean;
	/**
	 * Decodes the body, does the work, and resolves to a function that writes the response's body; to
	 * null where the protocol has no response. Throws KafkaFrameError for a malformed body.
	 */
	serve(reader: KafkaReader, exchange: Exchange): WriteBody | null | Promise<WriteBody | null>;
	/**
	 * The answer, in the form of the oldest version, to a version that is not served; absent: none.
	 */
	readonly serveUnknownVersion?: WriteBody;
}

export type WriteBody = (writer: KafkaWriter) => void;

/** Decides what to answer. What it throws is a bug: it is logged and the connection is closed. */
export type Handle<Request, Response> = (
	request: Request,
	exchange: Exchange,
) => Response | null | Promise<Response | null>;

/**
 * An API from its codec and its handler. Bytes behind a request's body are passed over, as in
 * Kafka. `changes` tells the audit log what a request has changed.
 */
export function serveApi<Request, Response>(
	api: KafkaApi<Request, Response>,
	handle: Handle<Request, Response>,
	changes?: (request: Request, response: Response) => readonly AuditedChange[],
): ServedApi {
	return {
		facts: api,
		isAudited: changes !== undefined,
		serve(reader, exchange) {
			const { apiVersion } = exchange;
			const request = api.readRequest(reader, apiVersion);
			const writing = (response: Response | null): WriteBody | null => {
				if (response === null) return null;
				if (changes !== undefined && exchange.host.audit !== null) {
					auditChanges(api, changes(request, response), exchange);
				}
				return (writer) => api.writeResponse(writer, withThrottle(response, exchange), apiVersion);
			};
			const answer = handle(request, exchange);
			return answer instanceof Promise ? answer.then(writing) : writing(answer);
		},
	};
}

/**
 * The response with the time for which the client has to wait. Nearly all have the field; those
 * that have not are written without it.
 */
export function withThrottle<Response>(response: Response, exchange: Exchange): Response {
	const { throttleTimeMs } = exchange;
	return throttleTimeMs === 0 ? response : { ...response, throttleTimeMs };
}
