/** Maps on their way in and out: as JSON or as MessagePack, as the client says. */
import { isUtf8 } from "node:buffer";
import type { AnswerMap } from "../../calls/caller.ts";
import { MillraceError } from "../../errors.ts";
import { LIMITS } from "../../limits.ts";
import { type DecodedMap, FrameError, FrameReader } from "../../protocol/reader.ts";
import { FrameWriter } from "../../protocol/writer.ts";
import type { HttpHead, HttpRequest } from "../http.ts";
import { ProblemError } from "./problem.ts";

export type Media = "json" | "msgpack";

export const MEDIA_TYPE: Readonly<Record<Media, string>> = {
	json: "application/json",
	msgpack: "application/vnd.msgpack",
};

/** Names by which MessagePack has been known before it was registered. */
const MSGPACK_TYPES = new Set([MEDIA_TYPE.msgpack, "application/msgpack", "application/x-msgpack"]);
const JSON_TYPES = new Set([MEDIA_TYPE.json, "application/*", "*/*"]);

const reader = new FrameReader(undefined, LIMITS.requestValuesMax);
const writer = new FrameWriter();

/** What the answer is to be: the first that `Accept` names. Throws 406. */
export function acceptedMedia(head: HttpHead): Media {
	const accept = head.header("accept");
	if (accept === "") return "json";
	for (const type of accept.split(",").map(essence)) {
		if (MSGPACK_TYPES.has(type)) return "msgpack";
		if (JSON_TYPES.has(type)) return "json";
	}
	const error = new MillraceError("INVALID_REQUEST", `answers are ${offered()}`);
	throw new ProblemError(error, 406);
}

/**
 * What the body is. Throws 415: no other content type is taken, because a page of another site can
 * have a browser send some of them without asking, and no content encoding, because a small body
 * could expand to any size.
 */
export function contentMedia(head: HttpHead): Media {
	const encoding = head.header("content-encoding").trim().toLowerCase();
	if (encoding !== "" && encoding !== "identity") {
		const detail = "a body is not compressed: send it without Content-Encoding";
		throw new ProblemError(new MillraceError("INVALID_REQUEST", detail), 415);
	}
	const type = essence(head.header("content-type"));
	if (type === MEDIA_TYPE.json) return "json";
	if (MSGPACK_TYPES.has(type)) return "msgpack";
	const error = new MillraceError("INVALID_REQUEST", `the content type of a body is ${offered()}`);
	throw new ProblemError(error, 415);
}

/** The map that is the body. Binaries are views of it. Throws MALFORMED_FRAME. */
export function decodeBody({ body }: HttpRequest, media: Media): DecodedMap {
	const decoded = media === "json" ? fromJson(body) : fromMsgpack(body);
	if (typeof decoded === "object" && decoded !== null && !Array.isArray(decoded)) {
		return decoded as DecodedMap;
	}
	throw malformed("it is no map");
}

export function encodeAnswer(answer: AnswerMap, media: Media): Uint8Array {
	if (media === "json") return Buffer.from(`${JSON.stringify(answer)}\n`);
	return writer.reset().value(answer).finishCopy();
}

function fromJson(body: Uint8Array): unknown {
	if (!isUtf8(body)) throw malformed("it is not UTF-8, which JSON has to be");
	try {
		return JSON.parse(new TextDecoder().decode(body));
	} catch (error) {
		// The parser quotes the body, in which there may be a password.
		throw malformed((error as Error).message.replace(/, (?:\.\.\.)?".*(?= is not valid)/s, ""));
	}
}

function fromMsgpack(body: Uint8Array): unknown {
	try {
		const value = reader.reset(body).value();
		reader.end();
		return value;
	} catch (error) {
		if (error instanceof FrameError) throw malformed(error.message);
		throw error;
	}
}

const malformed = (detail: string) => new MillraceError("MALFORMED_FRAME", `the body: ${detail}`);
const offered = () => `${MEDIA_TYPE.json} or ${MEDIA_TYPE.msgpack}`;
const essence = (type: string) => (type.split(";")[0] ?? "").trim().toLowerCase();
