/** The internal topic that keeps the audit log: one partition, so that events have one order. */
import { MillraceError } from "../errors.ts";
import { CODES } from "../protocol/codes.ts";
import { BODY_FORMAT, OPERATION, SEQUENCE_NONE } from "../protocol/operations.ts";
import { FrameWriter } from "../protocol/writer.ts";
import { PLAN_CODE, PLAN_RESULT_PARTITION, PLAN_TOPIC_HANDLE } from "../storage/layout.ts";
import type { Storage } from "../storage/storage.ts";
import type { Topic, TopicCatalogue } from "../topics/catalogue.ts";
import { AUDIT_TOPIC } from "../topics/internal-topics.ts";
import type { AuditSink } from "./audit-log.ts";

/** A month, and never more than a GiB of disk. */
const AUDIT_TOPIC_CONFIG: readonly (readonly [string, string])[] = [
	["cleanup.policy", "delete"],
	["retention.ms", "2592000000"],
	["retention.bytes", "1073741824"],
	["segment.bytes", "67108864"],
];

/** A body of the format `bytes`: `[value, key]`. */
const RECORD_FIELDS = 2;
const PRODUCER_NONE = -1;
/** As durable as the topic promises. */
const ACK_OF_TOPIC = -1;

export class AuditTopic implements AuditSink {
	readonly #storage: Storage;
	readonly #topic: Topic;
	/** Storage takes the log for a connection like any other. */
	readonly #connection: number;
	readonly #writer = new FrameWriter(65_536);

	private constructor(storage: Storage, topic: Topic) {
		this.#storage = storage;
		this.#topic = topic;
		this.#connection = storage.nextConnection();
	}

	/** Creates the topic where it is not there. Rejects as `TopicCatalogue.create` does. */
	static async open(storage: Storage, catalogue: TopicCatalogue): Promise<AuditTopic> {
		const { topic } = await catalogue.create({
			name: AUDIT_TOPIC,
			partitions: 1,
			config: AUDIT_TOPIC_CONFIG,
			ifNotExists: true,
			isInternal: true,
		});
		return new AuditTopic(storage, topic);
	}

	/** Rejects with what storage says. */
	async append(events: readonly string[]): Promise<void> {
		const writer = this.#writer.reset().array(4).integer(OPERATION.produce).integer(0).nil();
		writer.array(1).array(5).string(AUDIT_TOPIC).integer(0).integer(SEQUENCE_NONE);
		writer.integer(BODY_FORMAT.bytes).array(events.length);
		for (const event of events) writer.array(RECORD_FIELDS).binary(Buffer.from(event)).nil();
		const frame = writer.finish();
		const { plan } = this.#storage;
		this.#storage.decodeProduce(frame);
		plan[PLAN_TOPIC_HANDLE] = this.#topic.handle;
		plan[PLAN_CODE] = CODES.NONE.code;
		plan[PLAN_RESULT_PARTITION] = 0;
		const producer = [PRODUCER_NONE, PRODUCER_NONE] as const;
		const token = this.#storage.append(frame, 1, ACK_OF_TOPIC, ...producer, this.#connection);
		const { isElsewhere } = this.#storage;
		const code = plan[PLAN_CODE] as number;
		if (token === 0) return check(code);
		const flushed = await new Promise<number>((resolve) => {
			this.#storage.onToken(token, (tokenCode) => {
				if (isElsewhere) this.#storage.takeAppended(token);
				resolve(isElsewhere && tokenCode === 0 ? (plan[PLAN_CODE] as number) : tokenCode);
			});
		});
		check(flushed);
		if (!isElsewhere) check(code);
	}
}

function check(code: number): void {
	if (code !== CODES.NONE.code) throw MillraceError.fromNumber(code);
}
