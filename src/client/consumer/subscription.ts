import type { MillraceError } from "../../protocol/error.ts";
import type { StartPosition } from "../../protocol/frames.ts";
import { Credit } from "./credit.ts";
import type { RecordBatch } from "./delivery.ts";

/** A range of offsets whose records cannot be had; delivery goes on at `to`. */
export interface Gap {
	readonly topic: string;
	readonly partition: number;
	/** First offset of the range. */
	readonly from: number;
	/** First offset behind it. */
	readonly to: number;
	/** DAMAGED_RANGE, or OFFSET_OUT_OF_RANGE where retention overtook the reader. */
	readonly error: MillraceError;
}

/** What waits for the application, in the order in which it arrived. */
export type Item<Value> =
	| {
			readonly kind: "batch";
			readonly subscription: Subscription<Value>;
			readonly batch: RecordBatch<Value>;
			/** What it took of the credit. */
			readonly records: number;
			readonly bytes: number;
	  }
	| { readonly kind: "gap"; readonly subscription: Subscription<Value>; readonly gap: Gap }
	| {
			readonly kind: "caught_up";
			readonly subscription: Subscription<Value>;
			readonly highWatermark: number;
	  }
	| {
			readonly kind: "error";
			readonly subscription: Subscription<Value>;
			readonly error: MillraceError;
	  };

/** One partition of a consumer: where it stands, and what the broker may still send for it. */
export class Subscription<Value> {
	readonly topic: string;
	readonly partition: number;
	readonly topicId: string;
	/**
	 * Its number on the connection; another one each time it subscribes, so that what is late is told
	 * apart.
	 */
	number = -1;
	/** Where to begin when nothing was taken yet. */
	start: StartPosition;
	/**
	 * Offset of the next record for the application; undefined until the broker has said where that
	 * is.
	 */
	position: number | undefined;
	/** Ends before this offset. */
	endOffset = Number.POSITIVE_INFINITY;
	/** Has given all that was asked for, or ended with an error. */
	done = false;
	paused = false;
	/** It may be subscribed: a group's partition is not before the application was told of it. */
	isOpen = true;
	credit: Credit;
	/** The broker has answered the latest subscribe; what comes before that waits in `early`. */
	answered = false;
	early: Item<Value>[] = [];
	/** What arrived and is kept back while it is paused. */
	held: Item<Value>[] = [];

	/** Resolves when it was answered for the first time, well or not. */
	readonly settled: Promise<void>;
	settle!: () => void;

	constructor(
		topic: string,
		topicId: string,
		partition: number,
		start: StartPosition,
		credit: Credit,
	) {
		this.topic = topic;
		this.topicId = topicId;
		this.partition = partition;
		this.start = start;
		this.credit = credit;
		this.settled = new Promise((resolve) => {
			this.settle = resolve;
		});
	}

	/**
	 * Where delivery is to go on behind these items of this subscription, which have not been taken
	 * yet.
	 */
	resumeAt(waiting: Iterable<Item<Value>>): StartPosition {
		let next = this.position;
		for (const item of waiting) {
			if (item.subscription !== this) continue;
			if (item.kind === "batch") next = item.batch.lastOffset + 1;
			else if (item.kind === "gap") next = item.gap.to;
		}
		return next ?? this.start;
	}

	/** Begins anew somewhere else: what was delivered counts no more. */
	restart(start: StartPosition): void {
		this.start = start;
		this.position = typeof start === "number" ? start : undefined;
		this.done = false;
		this.early = [];
		this.held = [];
		this.credit = new Credit(this.credit.records, this.credit.bytes);
	}
}
