import type { KafkaReader } from "./reader.ts";
import type { KafkaWriter } from "./writer.ts";

/** What is known of one API; generated from its definition. */
export interface KafkaApi<Request, Response> {
	readonly key: number;
	readonly name: string;
	/** The versions that can be read and written, both included. */
	readonly oldest: number;
	readonly latest: number;
	/** The first version in the compact form with tagged fields; infinity when there is none. */
	readonly flexibleFrom: number;
	/**
	 * The oldest version that ApiVersions names: lower than `oldest` where a client depends on it.
	 */
	readonly advertisedFrom: number;
	/** Reads the body of a request; the caller checks the version first. */
	readonly readRequest: (reader: KafkaReader, version: number) => Request;
	readonly writeResponse: (writer: KafkaWriter, response: Response, version: number) => void;
}

/** An API whatever it is: its request is not known, and nothing can be given as its response. */
export type AnyKafkaApi = KafkaApi<unknown, never>;

/**
 * A structure that travels or is stored inside of bytes, behind an int16: its version, or before a
 * coordinator's key the type of the record.
 */
export interface KafkaSchema<Message> {
	readonly name: string;
	readonly oldest: number;
	readonly latest: number;
	readonly flexibleFrom: number;
	readonly read: (reader: KafkaReader, version: number) => Message;
	readonly write: (writer: KafkaWriter, message: Message, version: number) => void;
}
