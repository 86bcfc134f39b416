/**
 * Long answers are made in pieces: after each, others have the event loop. What asks for them is
 * one small request, so nothing else bounds how long it would hold everybody up.
 */
import type { Clock } from "../clock.ts";
import { nextTurn } from "../next-turn.ts";
import { type ServedApi, type WriteBody, withThrottle } from "./api.ts";
import { auditRefusal } from "./audited.ts";
import type { Exchange } from "./exchange.ts";
import type { KafkaApi } from "./wire/schema.ts";

/** Milliseconds of work after which others have a turn. */
const TURN_MS = 2;
/**
 * Elements that are written together at most. A compact length of so few is one byte, on which
 * `lengthBytes` relies.
 */
const PIECE_ELEMENTS = 32;

/** Lets others have the event loop in between, once a turn has been long enough. */
export class Turns {
	readonly #clock: Clock;
	#sinceMs: number;

	constructor(clock: Clock) {
		this.#clock = clock;
		this.#sinceMs = clock.monotonicMs();
	}

	/** Whether the turn has been long enough: for loops that are too fast to await in each round. */
	get isDue(): boolean {
		return this.#clock.monotonicMs() - this.#sinceMs >= TURN_MS;
	}

	/** To be awaited between two pieces of work; resolves at once while the turn is young. */
	async pause(): Promise<void> {
		if (!this.isDue) return;
		await nextTurn();
		this.#sinceMs = this.#clock.monotonicMs();
	}
}

type ElementOf<Elements> = Elements extends readonly (infer Element)[] ? Element : never;

/** A response whose array under `Key` may be long: its elements are asked for one by one. */
export interface LongResponse<Response, Key extends keyof Response> {
	/** The other fields. */
	readonly rest: Omit<Response, Key>;
	/** -1: the array is null. */
	readonly count: number;
	/** The element at an index, asked for once and in order. */
	readonly elementAt: (index: number) => ElementOf<Response[Key]>;
}

/**
 * An API whose response ends in an array that may be long. Where `key` is not the last field, or
 * there are tagged fields at its level, the answer would be garbage: the tests hold each such API
 * against the codec's own way of writing it.
 */
export function serveLongApi<Request, Response, Key extends keyof Response>(
	api: KafkaApi<Request, Response>,
	key: Key,
	handle: (
		request: Request,
		exchange: Exchange,
	) => LongResponse<Response, Key> | Promise<LongResponse<Response, Key>>,
	{ isAudited = false } = {},
): ServedApi {
	return {
		facts: api,
		isAudited,
		async serve(reader, exchange) {
			const response = await handle(api.readRequest(reader, exchange.apiVersion), exchange);
			return writeInTurns(api, key, response, exchange, isAudited);
		},
	};
}

/**
 * Writes the elements in turns; resolves to a function that puts the pieces together, to null when
 * the client is gone.
 */
async function writeInTurns<Request, Response, Key extends keyof Response>(
	api: KafkaApi<Request, Response>,
	key: Key,
	{ rest, count, elementAt }: LongResponse<Response, Key>,
	exchange: Exchange,
	isAudited: boolean,
): Promise<WriteBody | null> {
	const { apiVersion, host } = exchange;
	const isFlexible = apiVersion >= api.flexibleFrom;
	const lengthBytes = isFlexible ? 1 : 4;
	const tagBytes = isFlexible ? 1 : 0;
	let restErrors = 0;
	const told = withThrottle(rest, exchange);
	const write = (elements: ElementOf<Response[Key]>[]): Uint8Array => {
		// The cast puts the field back that `rest` lacks.
		const response = { ...told, [key]: elements } as unknown as Response;
		host.writer.start();
		api.writeResponse(host.writer, response, apiVersion);
		const codes = host.writer.errors.slice(restErrors);
		for (const code of codes) {
			host.requests.failed(exchange.apiKey, code);
			if (!isAudited) auditRefusal(api, code, exchange);
		}
		return host.writer.finish();
	};
	const empty = write([]);
	// Written again, in front of the elements, with every piece.
	restErrors = host.writer.errors.length;
	const head = empty.subarray(0, empty.length - lengthBytes - tagBytes);
	const pieces: Uint8Array[] = [];
	const turns = new Turns(host.clock);
	for (let index = 0; index < count; ) {
		const elements: ElementOf<Response[Key]>[] = [];
		// A single one may take long, such as a group with thousands of members.
		do {
			elements.push(elementAt(index++));
		} while (index < count && elements.length < PIECE_ELEMENTS && !turns.isDue);
		const bytes = write(elements);
		pieces.push(bytes.subarray(head.length + lengthBytes, bytes.length - tagBytes));
		await turns.pause();
		if (exchange.isOver) return null;
	}
	return (writer) => {
		writer.verbatim(head);
		if (isFlexible) writer.unsignedVarint(count + 1);
		else writer.int32(count);
		for (const piece of pieces) writer.verbatim(piece);
		if (isFlexible) writer.unsignedVarint(0);
	};
}
