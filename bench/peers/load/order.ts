/** What a load in Node is asked for: the one argument of load/main.ts, as JSON. */
import type { Durability } from "../../harness/scenario.ts";
import type { ContenderName } from "../results.ts";

/** How records are taken: one by one in `for await`, or as many at once as the client has. */
export type ReadStyle = "each" | "batches";

/** How a peer that has several ways is sent to: with an ack a record, or by NATS's fast ingest. */
export type PublishStyle = "acks" | "fast-ingest";

export interface LoadOrder {
	readonly contender: Exclude<ContenderName, "kafka">;
	/** For Millrace a URL. */
	readonly address: string;
	readonly topic: string;
	readonly durability: Durability;
	/** Milliseconds after which what is `written` is to be flushed; null: the system decides. */
	readonly flushMs: number | null;
	readonly recordBytes: number;
	readonly publish: PublishStyle;
	/** Null: the load produces, as fast as it can. */
	readonly read: ReadStyle | null;
	readonly warmUpSeconds: number;
	readonly seconds: number;
	/** That are produced, at most. */
	readonly records: number;
}
