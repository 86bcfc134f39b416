import { MillraceError } from "../../protocol/error.ts";
import type { ConsumerOptions } from "./consumer-options.ts";

/** A partition of a topic. */
export interface TopicPartition {
	readonly topic: string;
	readonly partition: number;
}

/** What is to be committed: the offset of the next record to read, that is of the last one + 1. */
export interface OffsetToCommit extends TopicPartition {
	readonly offset: number;
	/** A note that is kept with it, for people or for the next member. */
	readonly metadata?: string;
}

export interface GroupConsumerOptions<Value> extends Omit<ConsumerOptions<Value>, "topics"> {
	/** The group that the consumer is a member of, once it is iterated over. */
	group: string;
	/** Topics to read, also those that do not exist yet. One of `topics` and `pattern` is needed. */
	topics?: string | readonly string[];
	/** A regular expression in RE2's syntax that the whole name of a topic matches. */
	pattern?: string;
	/**
	 * Makes it a static member: its partitions are kept for it while it is away for a short time. No
	 * other member of the group may have the same.
	 */
	instanceId?: string;
	/** How partitions are shared; what most members say is done. Default: as the broker says. */
	assignor?: "uniform" | "range";
	/**
	 * Commits by itself what the application is done with: every `autoCommitIntervalMs`, before
	 * partitions are given up, and at the end. Default true.
	 */
	autoCommit?: boolean;
	/** Default 5,000. */
	autoCommitIntervalMs?: number;
	/**
	 * How long the application may take from one `next()` to the following one, in milliseconds, as
	 * Kafka's max.poll.interval.ms: a consumer that takes longer loses its partitions, and joins
	 * again when it goes on. Default 300,000.
	 */
	progressTimeoutMs?: number;
	/**
	 * How long it may take to give partitions up, in milliseconds: what is in the application's hands
	 * is finished first, then `onRevoke` is waited for. Default: `progressTimeoutMs`.
	 */
	rebalanceTimeoutMs?: number;
	/** Told of partitions before they are read; `seek` may be called. It is waited for. */
	onAssign?: (partitions: readonly TopicPartition[]) => void | Promise<void>;
	/**
	 * Told of partitions that are given up, when nothing of them is in the application's hands any
	 * more, and before they are committed for the last time. It is waited for. `lost`: they are gone
	 * already, what was not committed will be read by others.
	 */
	onRevoke?: (
		partitions: readonly TopicPartition[],
		how: { readonly lost: boolean },
	) => void | Promise<void>;
}

/** The topics to subscribe to. Throws INVALID_ARGUMENT without a topic and a pattern. */
export function subscribedTopics({ topics, pattern }: GroupConsumerOptions<never>): string[] {
	const list = typeof topics === "string" ? [topics] : [...(topics ?? [])];
	if (list.length === 0 && (pattern ?? "") === "") {
		throw new MillraceError("INVALID_ARGUMENT", "a consumer needs topics or a pattern");
	}
	return list;
}

/** `value` if it is a duration that timers and the broker take. Throws INVALID_ARGUMENT. */
export function duration(value: number | undefined, standard: number, name: string): number {
	const duration = value ?? standard;
	if (Number.isInteger(duration) && duration >= 1 && duration <= 2_147_483_647) return duration;
	throw new MillraceError("INVALID_ARGUMENT", `${name} is not a number of milliseconds`);
}
