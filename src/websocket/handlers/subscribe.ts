/**
 * 4 subscribe: `[4, id, sub, topic, partition, start, {format?, on_out_of_range?, isolation?,
 * credit?}]`
 * -> `[128, id, {offset, log_start, high_watermark}]`. Deliveries follow the answer: they are sent
 * on later turns.
 *
 * The subscription exists from the moment the frame is read, so that credit which is on its way
 * counts.
 */

import { checkTopic } from "../../calls/access.ts";
import { Arguments, boundedInteger, invalid, isMap } from "../../calls/arguments.ts";
import type { AnswerMap } from "../../calls/caller.ts";
import { MillraceError } from "../../errors.ts";
import { LIMITS } from "../../limits.ts";
import { OPERATION } from "../../protocol/operations.ts";
import type { DecodedMap, DecodedValue } from "../../protocol/reader.ts";
import { checkPartition } from "../../topics/live-topics.ts";
import type { Fields } from "../fields.ts";
import type { Session } from "../session.ts";
import { Subscription, type SubscriptionTarget } from "../subscription.ts";

type Start = number | "earliest" | "latest" | { readonly timestampMs: number };

export function subscribe(session: Session, fields: Fields): AnswerMap | Promise<AnswerMap> {
	const sub = fields.uint32();
	const nameOrAlias = fields.nameOrAlias();
	const partition = fields.integer();
	const startValue = fields.value();
	const options = fields.map();
	fields.end();
	if (session.subscriptions.has(sub)) {
		throw new MillraceError("INVALID_REQUEST", `subscription ${sub} is in use`);
	}
	if (session.subscriptions.size >= LIMITS.subscriptionsMax) {
		throw new MillraceError("LIMIT_EXCEEDED", "subscriptions_max");
	}
	checkTopic(session, OPERATION.subscribe, nameOrAlias);
	const topic = session.aliases.existing(nameOrAlias);
	checkPartition(topic, partition);
	const start = readStart(startValue);
	const target = { sub, topic, partition, ...readOptions(options) };
	const credit = readCredit(options.credit);
	const subscription = new Subscription(session.host, session, target);
	if (typeof start !== "object") {
		const answer = begin(session, subscription, start);
		subscription.addCredit(...credit);
		return answer;
	}
	session.subscriptions.add(subscription);
	subscription.addCredit(...credit);
	return beginAtTime(session, subscription, start.timestampMs);
}

async function beginAtTime(
	session: Session,
	subscription: Subscription,
	timestampMs: number,
): Promise<AnswerMap> {
	const { topic, partition, sub } = subscription.target;
	try {
		const { handle } = topic.current;
		const found = await session.host.storage.offsetForTimestamp(handle, partition, timestampMs);
		if (subscription.isEnded) throw new MillraceError("UNKNOWN_SUBSCRIPTION", `${sub} has ended`);
		return begin(session, subscription, found?.offset ?? "latest");
	} catch (error) {
		subscription.stop();
		session.ended(subscription);
		throw error;
	}
}

function begin(
	session: Session,
	subscription: Subscription,
	start: number | "earliest" | "latest",
): AnswerMap {
	const { target } = subscription;
	const { logStart, highWatermark } = session.host.storage.offsets(
		target.topic.current.handle,
		target.partition,
	);
	const offset = resolveStart(target, start, logStart, highWatermark);
	session.subscriptions.add(subscription);
	subscription.start(offset);
	return { offset, log_start: logStart, high_watermark: highWatermark };
}

function resolveStart(
	target: SubscriptionTarget,
	start: number | "earliest" | "latest",
	logStart: number,
	highWatermark: number,
): number {
	if (start === "earliest") return logStart;
	if (start === "latest") return highWatermark;
	if (start >= logStart && start <= highWatermark) return start;
	if (target.onOutOfRange === "earliest") return logStart;
	if (target.onOutOfRange === "latest") return highWatermark;
	const particular = `${start} is not in ${logStart} to ${highWatermark}`;
	const { topic, partition } = target;
	throw new MillraceError("OFFSET_OUT_OF_RANGE", particular, {
		topic: topic.current.name,
		partition,
	});
}

function readStart(value: DecodedValue): Start {
	if (value === "earliest" || value === "latest") return value;
	if (isMap(value)) {
		const timestampMs = new Arguments(value).integer("timestamp_ms", 0, Number.MAX_SAFE_INTEGER);
		return { timestampMs };
	}
	return boundedInteger(value, "start", 0, Number.MAX_SAFE_INTEGER);
}

function readOptions(map: DecodedMap): Pick<SubscriptionTarget, "format" | "onOutOfRange"> {
	const options = new Arguments(map);
	// Nothing is transactional yet: both isolations see the same.
	options.choice("isolation", ["read_uncommitted", "read_committed"]);
	return {
		format: options.choice("format", ["records", "batch"]),
		onOutOfRange: options.choice("on_out_of_range", ["error", "earliest", "latest"]),
	};
}

function readCredit(value: DecodedValue | undefined): [records: number, bytes: number] {
	if (value === undefined || value === null) return [0, 0];
	if (!Array.isArray(value) || value.length < 2)
		return invalid("credit", "is not [records, bytes]");
	const [records = null, bytes = null] = value;
	return [
		boundedInteger(records, "credit records", 0, LIMITS.creditRecordsMax),
		boundedInteger(bytes, "credit bytes", 0, LIMITS.creditBytesMax),
	];
}
